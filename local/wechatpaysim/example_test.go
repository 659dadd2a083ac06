package wechatpaysim_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"wechat-parking-gateway/local/wechatpaysim"
)

// Example lets WeChat Pay refuse an unsigned entry notification, and tell a listener that a plate is
// blocked.
func Example() {
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println("heard of 粤B888888:", strings.Contains(string(body), "<plate_number>粤B888888</plate_number>"))
		_, _ = io.WriteString(w, "<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>")
	}))
	defer listener.Close()

	identity, err := wechatpaysim.GenerateIdentity(rand.Reader, time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	sim, err := wechatpaysim.New(wechatpaysim.Config{
		Mode: wechatpaysim.Partner, MchID: "10000098", AppID: "wxcbda96de0b165486",
		APIv2Keys: []string{"192006250b4c09247ec02edce69f6a2d"},
		Merchants: []wechatpaysim.Merchant{{SubMchID: "1900000109", SubAppID: "wxcbda96de0b165489"}},
		Identity:  identity, Now: time.Now, Rand: rand.Reader, Transport: listener.Client().Transport,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sim.Close()
	server := httptest.NewServer(sim)
	defer server.Close()

	resp, err := http.Post(server.URL+wechatpaysim.RouteVehiclePartner, "text/xml", strings.NewReader("<xml><mch_id>10000098</mch_id></xml>"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println("refused:", sim.Requests()[0].Reason)

	sim.Block("粤B888888")
	delivery, err := sim.PlateStateChanged(context.Background(), listener.URL+"/notify", wechatpaysim.PlateState{
		SubMchID: "1900000109", PlateNumber: "粤B888888", EventType: "BLOCKED", EventDes: "OVERDUE",
	})
	fmt.Println("delivered:", delivery.Success, err)
	// Output:
	// refused: 参数格式校验错误: sign_type must be HMAC-SHA256
	// heard of 粤B888888: true
	// delivered: true <nil>
}
