package wechatpay_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/wechatpay"
)

// Example reports a car's entry, and acts on what a failure means, never on its words. The secrets' cache would be the
// source of the keys, NewTransport the connections.
func Example() {
	client := &wechatpay.Client{
		BaseURL: wechatpay.DefaultBaseURL, BackupURL: wechatpay.DefaultBackupURL,
		Transport: xmlStub(signedXML("192006250b4c09247ec02edce69f6a2d", entryAnswer)),
		Now:       time.Now, Random: rand.Reader,
	}
	key, err := signing.NewV2Key("192006250b4c09247ec02edce69f6a2d")
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := client.NotifyEntry(context.Background(), &functest.Source[wechatpay.V2Keys]{Value: wechatpay.V2Keys{key}}, wechatpay.Entry{
		AppID: "wxcbda96de0b165486", MchID: "10000098", SubAppID: "wxcbda96de0b165489", SubMchID: "1900000109",
		TradeScene: wechatpay.SceneParking,
		Scene:      wechatpay.Scene{StartTime: "20170926114339", PlateNumber: "粤B888888", FreeTime: "1200", ParkingName: "欢乐海岸停车场"},
	})
	var failure *wechatpay.Error
	if errors.As(err, &failure) && failure.Kind == wechatpay.Unknown {
		fmt.Println("WeChat Pay may or may not have acted")
		return
	}
	fmt.Println(answer.UserState(), answer.DeductMode(), err)
	// Output: NORMAL AUTOPAY <nil>
}

// ExampleReadPlateState reads a verified callback.
func ExampleReadPlateState() {
	document, err := flatxml.Parse([]byte(`<xml><mch_id>100000981</mch_id><plate_number>粤A00000</plate_number>
		<vehicle_event_type>BLOCKED</vehicle_event_type><vehicle_event_des>OVERDUE</vehicle_event_des>
		<vehicle_event_createtime>20180101100000</vehicle_event_createtime></xml>`))
	if err != nil {
		fmt.Println(err)
		return
	}
	state, err := wechatpay.ReadPlateState(document, time.Date(2018, 1, 1, 3, 0, 0, 0, time.UTC))
	fmt.Println(state.State, state.Reason, state.OccurredAt.Format(time.RFC3339), err)
	_, err = wechatpay.ReadPlateState(document, time.Date(2018, 2, 1, 3, 0, 0, 0, time.UTC))
	fmt.Println(wechatpay.ReasonOf(err))
	// Output:
	// BLOCKED OVERDUE 2018-01-01T10:00:00+08:00 <nil>
	// stale
}
