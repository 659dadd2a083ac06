package vendor_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/shared/vendor"
)

func circle(subMchID string, brandID int64, appID string) vendor.Merchant {
	return vendor.Merchant{SubMchID: subMchID, BusinessCircle: &vendor.BusinessCircle{BrandID: brandID, AppID: appID}}
}

func vehicle(subMchID, subAppID string) vendor.Merchant {
	return vendor.Merchant{SubMchID: subMchID, Vehicle: &vendor.Vehicle{SubAppID: subAppID}}
}

func TestSelectBusinessCircle(t *testing.T) {
	both := circle("1", 1000, "wx1")
	both.Vehicle = &vendor.Vehicle{SubAppID: "wx9"}
	for _, tt := range []struct {
		name      string
		merchants []vendor.Merchant
		query     vendor.BusinessCircleQuery
		want      vendor.Merchant
		err       error
	}{
		{"the only one, nothing given", []vendor.Merchant{circle("1", 1000, "wx1")}, vendor.BusinessCircleQuery{}, circle("1", 1000, "wx1"), nil},
		{
			"the only one, everything given", []vendor.Merchant{circle("1", 1000, "wx1")},
			vendor.BusinessCircleQuery{SubMchID: new("1"), BrandID: new(int64(1000)), AppID: new("wx1")}, circle("1", 1000, "wx1"), nil,
		},
		{"the only one with the product", []vendor.Merchant{vehicle("1", ""), circle("2", 1000, "wx1")}, vendor.BusinessCircleQuery{}, circle("2", 1000, "wx1"), nil},
		{"by sub_mchid", []vendor.Merchant{circle("1", 1000, "wx1"), circle("2", 1000, "wx1")}, vendor.BusinessCircleQuery{SubMchID: new("2")}, circle("2", 1000, "wx1"), nil},
		{"by brandid", []vendor.Merchant{circle("1", 1000, "wx1"), circle("1", 1001, "wx1")}, vendor.BusinessCircleQuery{BrandID: new(int64(1001))}, circle("1", 1001, "wx1"), nil},
		{"by appid", []vendor.Merchant{circle("1", 1000, "wx1"), circle("1", 1000, "wx2")}, vendor.BusinessCircleQuery{AppID: new("wx2")}, circle("1", 1000, "wx2"), nil},
		{"two that the product cannot tell apart", []vendor.Merchant{both, circle("1", 1000, "wx1")}, vendor.BusinessCircleQuery{}, both, nil},
		{"direct", []vendor.Merchant{circle("", 1000, "wx1"), circle("1", 1001, "wx1")}, vendor.BusinessCircleQuery{Direct: true}, circle("", 1000, "wx1"), nil},
		{"partner", []vendor.Merchant{circle("", 1000, "wx1"), circle("1", 1001, "wx1")}, vendor.BusinessCircleQuery{}, circle("1", 1001, "wx1"), nil},

		{"two merchants, nothing given", []vendor.Merchant{circle("1", 1000, "wx1"), circle("2", 1000, "wx1")}, vendor.BusinessCircleQuery{}, vendor.Merchant{}, vendor.ErrAmbiguous},
		{"two brands, sub_mchid given", []vendor.Merchant{circle("1", 1000, "wx1"), circle("1", 1001, "wx1")}, vendor.BusinessCircleQuery{SubMchID: new("1")}, vendor.Merchant{}, vendor.ErrAmbiguous},
		{"two appids, brandid given", []vendor.Merchant{circle("1", 1000, "wx1"), circle("1", 1000, "wx2")}, vendor.BusinessCircleQuery{BrandID: new(int64(1000))}, vendor.Merchant{}, vendor.ErrAmbiguous},

		{"no merchant at all", nil, vendor.BusinessCircleQuery{}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"another sub_mchid", []vendor.Merchant{circle("1", 1000, "wx1")}, vendor.BusinessCircleQuery{SubMchID: new("2")}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"an empty sub_mchid", []vendor.Merchant{circle("1", 1000, "wx1")}, vendor.BusinessCircleQuery{SubMchID: new("")}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"another brandid", []vendor.Merchant{circle("1", 1000, "wx1")}, vendor.BusinessCircleQuery{BrandID: new(int64(0))}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"another appid", []vendor.Merchant{circle("1", 1000, "wx1")}, vendor.BusinessCircleQuery{AppID: new("wx2")}, vendor.Merchant{}, vendor.ErrNoMatch},
		{
			"each given field in another entry", []vendor.Merchant{circle("1", 1000, "wx1"), circle("2", 1001, "wx2")},
			vendor.BusinessCircleQuery{SubMchID: new("1"), BrandID: new(int64(1001))}, vendor.Merchant{}, vendor.ErrNoMatch,
		},
		{"a direct entry in mode partner", []vendor.Merchant{circle("", 1000, "wx1")}, vendor.BusinessCircleQuery{}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"a partner entry in mode direct", []vendor.Merchant{circle("1", 1000, "wx1")}, vendor.BusinessCircleQuery{Direct: true}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"sub_mchid given in mode direct", []vendor.Merchant{circle("", 1000, "wx1")}, vendor.BusinessCircleQuery{Direct: true, SubMchID: new("1")}, vendor.Merchant{}, vendor.ErrNoMatch},

		{"the other product alone", []vendor.Merchant{vehicle("1", "wx1")}, vendor.BusinessCircleQuery{}, vendor.Merchant{}, vendor.ErrNotConfigured},
		{"no product", []vendor.Merchant{{SubMchID: "1"}}, vendor.BusinessCircleQuery{SubMchID: new("1")}, vendor.Merchant{}, vendor.ErrNotConfigured},
		{"the given one lacks it, another has it", []vendor.Merchant{vehicle("1", ""), circle("2", 1000, "wx1")}, vendor.BusinessCircleQuery{SubMchID: new("1")}, vendor.Merchant{}, vendor.ErrNotConfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := &vendor.Vendor{Merchants: tt.merchants}
			got, err := v.SelectBusinessCircle(tt.query)
			wantMerchant(t, got, err, tt.want, tt.err)
		})
	}
}

func TestSelectVehicle(t *testing.T) {
	both := vehicle("1", "wx9")
	both.BusinessCircle = &vendor.BusinessCircle{BrandID: 1000, AppID: "wx1"}
	for _, tt := range []struct {
		name      string
		merchants []vendor.Merchant
		query     vendor.VehicleQuery
		want      vendor.Merchant
		err       error
	}{
		{"the only one, nothing given", []vendor.Merchant{vehicle("1", "wx9")}, vendor.VehicleQuery{}, vehicle("1", "wx9"), nil},
		{"the only one, everything given", []vendor.Merchant{vehicle("1", "wx9")}, vendor.VehicleQuery{SubMchID: new("1"), SubAppID: new("wx9")}, vehicle("1", "wx9"), nil},
		{"the only one with the product", []vendor.Merchant{circle("2", 1000, "wx1"), vehicle("1", "")}, vendor.VehicleQuery{}, vehicle("1", ""), nil},
		{"by sub_mch_id", []vendor.Merchant{vehicle("1", "wx9"), vehicle("2", "wx9")}, vendor.VehicleQuery{SubMchID: new("2")}, vehicle("2", "wx9"), nil},
		{"by sub_appid", []vendor.Merchant{vehicle("1", "wx8"), vehicle("1", "wx9")}, vendor.VehicleQuery{SubAppID: new("wx9")}, vehicle("1", "wx9"), nil},
		{"two that the product cannot tell apart", []vendor.Merchant{both, vehicle("1", "wx9")}, vendor.VehicleQuery{}, both, nil},
		{"direct", []vendor.Merchant{vehicle("1", ""), vehicle("", "")}, vendor.VehicleQuery{Direct: true}, vehicle("", ""), nil},
		{"partner", []vendor.Merchant{vehicle("", ""), vehicle("1", "")}, vendor.VehicleQuery{}, vehicle("1", ""), nil},

		{"two merchants, nothing given", []vendor.Merchant{vehicle("1", ""), vehicle("2", "")}, vendor.VehicleQuery{}, vendor.Merchant{}, vendor.ErrAmbiguous},
		{"two appids, sub_mch_id given", []vendor.Merchant{vehicle("1", "wx8"), vehicle("1", "wx9")}, vendor.VehicleQuery{SubMchID: new("1")}, vendor.Merchant{}, vendor.ErrAmbiguous},

		{"no merchant at all", nil, vendor.VehicleQuery{}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"another sub_mch_id", []vendor.Merchant{vehicle("1", "")}, vendor.VehicleQuery{SubMchID: new("2")}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"another sub_appid", []vendor.Merchant{vehicle("1", "wx9")}, vendor.VehicleQuery{SubAppID: new("wx8")}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"a sub_appid where none is configured", []vendor.Merchant{vehicle("1", "")}, vendor.VehicleQuery{SubAppID: new("wx9")}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"a direct entry in mode partner", []vendor.Merchant{vehicle("", "")}, vendor.VehicleQuery{}, vendor.Merchant{}, vendor.ErrNoMatch},
		{"a partner entry in mode direct", []vendor.Merchant{vehicle("1", "")}, vendor.VehicleQuery{Direct: true}, vendor.Merchant{}, vendor.ErrNoMatch},

		{"the other product alone", []vendor.Merchant{circle("1", 1000, "wx1")}, vendor.VehicleQuery{}, vendor.Merchant{}, vendor.ErrNotConfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := &vendor.Vendor{Merchants: tt.merchants}
			got, err := v.SelectVehicle(tt.query)
			wantMerchant(t, got, err, tt.want, tt.err)
		})
	}
}

func wantMerchant(t *testing.T, got vendor.Merchant, err error, want vendor.Merchant, wantErr error) {
	t.Helper()
	if err != wantErr {
		t.Fatalf("got error %v, want %v", err, wantErr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-) got (+):\n%s", diff)
	}
}

func TestReasonsAreKindsOfNotAllowed(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{vendor.ErrNotConfigured, true},
		{vendor.ErrNoMatch, true},
		{vendor.ErrAmbiguous, false},
	} {
		if got := errors.Is(tt.err, vendor.ErrNotAllowed); got != tt.want {
			t.Errorf("%v: got %t, want %t", tt.err, got, tt.want)
		}
	}
}
