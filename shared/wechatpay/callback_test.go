package wechatpay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/wechatpay"
)

// plateState is a plate state change as the V2 page shows it.
var plateState = flatxml.Document{
	{Name: "mch_id", Value: "100000981"}, {Name: "sub_mch_id", Value: "10000100"}, {Name: "appid", Value: "wxcbda96de0b165486"},
	{Name: "nonce_str", Value: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"}, {Name: "sign_type", Value: "HMAC-SHA256"},
	{Name: "plate_number", Value: plateNumber}, {Name: "vehicle_event_type", Value: "BLOCKED"},
	{Name: "vehicle_event_des", Value: "OVERDUE"}, {Name: "deduct_mode", Value: "PROACTIVE"},
	{Name: "vehicle_event_createtime", Value: "20180101100000"},
}

// occurred is that change's moment, which is Beijing time.
var occurred = time.Date(2018, 1, 1, 2, 0, 0, 0, time.UTC)

func TestReadPlateState(t *testing.T) {
	got, err := wechatpay.ReadPlateState(plateState, occurred)
	if err != nil {
		t.Fatal(err)
	}
	if got.MchID != "100000981" || got.SubMchID != "10000100" || got.PlateNumber != plateNumber || got.State != "BLOCKED" ||
		got.Reason != "OVERDUE" || got.DeductMode != "PROACTIVE" || !got.OccurredAt.Equal(occurred) || len(got.Document) != len(plateState) {
		t.Errorf("got %+v, want every element in its place", got)
	}

	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		document flatxml.Document
		now      time.Time
		want     error
	}{
		"as it is":                   {plateState, occurred, nil},
		"a direct merchant's":        {drop(plateState, "sub_mch_id"), occurred, nil},
		"sub_mch_id is empty":        {set(plateState, "sub_mch_id", ""), occurred, nil},
		"no state":                   {drop(plateState, "vehicle_event_type"), occurred, nil},
		"no reason":                  {drop(plateState, "vehicle_event_des"), occurred, nil},
		"no deduct_mode":             {drop(plateState, "deduct_mode"), occurred, nil},
		"an unknown state":           {set(plateState, "vehicle_event_type", "BRAND_NEW"), occurred, nil},
		"an element that is new":     {set(plateState, "brand_new", "a&b=c"), occurred, nil},
		"no mch_id":                  {drop(plateState, "mch_id"), occurred, wechatpay.ErrMalformed},
		"no plate":                   {drop(plateState, "plate_number"), occurred, wechatpay.ErrMalformed},
		"no time":                    {drop(plateState, "vehicle_event_createtime"), occurred, wechatpay.ErrMalformed},
		"a time with a zone":         {set(plateState, "vehicle_event_createtime", "2018-01-01T10:00:00+08:00"), occurred, wechatpay.ErrMalformed},
		"a time that is none":        {set(plateState, "vehicle_event_createtime", "20181301100000"), occurred, wechatpay.ErrMalformed},
		"6 days old":                 {plateState, occurred.Add(6 * day), nil},
		"a second older":             {plateState, occurred.Add(6*day + time.Second), wechatpay.ErrStale},
		"a day ahead":                {plateState, occurred.Add(-day), nil},
		"a second further":           {plateState, occurred.Add(-day - time.Second), wechatpay.ErrFuture},
		"nothing":                    {nil, occurred, wechatpay.ErrMalformed},
		"form comes before the time": {drop(plateState, "plate_number"), occurred.Add(7 * day), wechatpay.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := wechatpay.ReadPlateState(tc.document, tc.now)
			if !errors.Is(err, tc.want) || (err != nil) != (tc.want != nil) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err != nil && got.Document != nil {
				t.Error("got a state with the error, want none")
			}
			if err != nil && strings.Contains(err.Error(), plateNumber) {
				t.Errorf("got %q, want no plate in it", err)
			}
		})
	}
}

// TestMovedElements holds that an element which was moved into the value before it is not overlooked. The V2 scheme signs
// names and values joined by = and &, so the signature over such a document still holds; without sub_mch_id it would pass
// for the state of another vendor's car.
func TestMovedElements(t *testing.T) {
	keys := keysV2(apiV2Key)
	document := drop(plateState, "sign_type")
	sign := keys[0].Sign(document)
	for _, name := range []string{"sub_mch_id", "vehicle_event_type", "vehicle_event_des", "deduct_mode", "plate_number", "mch_id", "vehicle_event_createtime"} {
		t.Run(name, func(t *testing.T) {
			sorted := slices.SortedFunc(slices.Values(document), func(a, b flatxml.Element) int { return strings.Compare(a.Name, b.Name) })
			at := slices.IndexFunc(sorted, func(e flatxml.Element) bool { return e.Name == name })
			moved := slices.Clone(sorted)
			moved[at-1].Value += "&" + name + "=" + moved[at].Value
			moved = append(slices.Delete(moved, at, at+1), flatxml.Element{Name: "sign", Value: sign})
			if err := signing.VerifyV2(moved, keys); err != nil {
				t.Fatalf("the moved document does not verify: %v", err)
			}
			if _, err := wechatpay.ReadPlateState(moved, occurred); !errors.Is(err, wechatpay.ErrMalformed) {
				t.Errorf("got %v, want %v", err, wechatpay.ErrMalformed)
			}
		})
	}
}

// TestCanonical holds that a redelivery is recognised: another nonce, the same string.
func TestCanonical(t *testing.T) {
	read := func(d flatxml.Document) string {
		return must(wechatpay.ReadPlateState(d, occurred)).Canonical()
	}
	const want = "appid=wxcbda96de0b165486&deduct_mode=PROACTIVE&mch_id=100000981&plate_number=粤B888888&sub_mch_id=10000100" +
		"&vehicle_event_createtime=20180101100000&vehicle_event_des=OVERDUE&vehicle_event_type=BLOCKED"
	for name, d := range map[string]flatxml.Document{
		"as it is":      plateState,
		"another nonce": set(plateState, "nonce_str", "another"),
		"no sign_type":  drop(plateState, "sign_type"),
		"a sign":        set(plateState, "sign", "ABC"),
	} {
		if got := read(d); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := read(set(plateState, "vehicle_event_createtime", "20180101100001")); got == want {
		t.Error("another event has the same string")
	}
}

// envelope is a V3 callback around the vector of a mall transaction.
func envelope(t testing.TB, change func(e, resource map[string]any)) []byte {
	t.Helper()
	v := loadVectors(t).AEAD[1]
	resource := map[string]any{"algorithm": "AEAD_AES_256_GCM", "ciphertext": v.Ciphertext, "associated_data": v.AssociatedData, "nonce": v.Nonce}
	e := map[string]any{
		"id": "EV-2018022511223320873", "create_time": "2020-05-20T13:29:35+08:00", "resource_type": "encrypt-resource",
		"event_type": "MALL_TRANSACTION.SUCCESS", "summary": "支付成功", "resource": resource,
	}
	if change != nil {
		change(e, resource)
	}
	return must(json.Marshal(e))
}

func TestReadEnvelope(t *testing.T) {
	got, created, err := wechatpay.ReadEnvelope(envelope(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != "EV-2018022511223320873" || got.EventType != "MALL_TRANSACTION.SUCCESS" || created.Unix() != 1589952575 || got.Resource.Nonce != "uluk4a9R25RW" {
		t.Errorf("got %+v at %v, want the members in their places", got, created)
	}
	whole := string(envelope(t, nil))
	for name, tc := range map[string]struct {
		body []byte
		ok   bool
	}{
		"no summary":              {envelope(t, func(e, _ map[string]any) { delete(e, "summary") }), true},
		"a member that is new":    {envelope(t, func(e, r map[string]any) { e["x"], r["y"] = 1, nil }), true},
		"no associated_data":      {envelope(t, func(_, r map[string]any) { delete(r, "associated_data") }), true},
		"an id of 128":            {envelope(t, func(e, _ map[string]any) { e["id"] = strings.Repeat("x", 128) }), true},
		"a create_time in UTC":    {envelope(t, func(e, _ map[string]any) { e["create_time"] = "2020-05-20T05:29:35Z" }), true},
		"nothing":                 {nil, false},
		"null":                    {[]byte("null"), false},
		"no JSON":                 {[]byte("<xml></xml>"), false},
		"an array":                {[]byte("[" + whole + "]"), false},
		"something after it":      {[]byte(whole + "{}"), false},
		"a key twice":             {[]byte(strings.Replace(whole, `"id":`, `"id":"EV-1","id":`, 1)), false},
		"a key in other letters":  {[]byte(strings.Replace(whole, `"id":`, `"ID":`, 1)), false},
		"no UTF-8":                {[]byte(strings.Replace(whole, "EV-", "EV\xff", 1)), false},
		"no id":                   {envelope(t, func(e, _ map[string]any) { delete(e, "id") }), false},
		"an id of 129":            {envelope(t, func(e, _ map[string]any) { e["id"] = strings.Repeat("x", 129) }), false},
		"an id that is a number":  {envelope(t, func(e, _ map[string]any) { e["id"] = 1 }), false},
		"no create_time":          {envelope(t, func(e, _ map[string]any) { delete(e, "create_time") }), false},
		"create_time of V2":       {envelope(t, func(e, _ map[string]any) { e["create_time"] = "20200520132935" }), false},
		"no resource":             {envelope(t, func(e, _ map[string]any) { delete(e, "resource") }), false},
		"resource is null":        {envelope(t, func(e, _ map[string]any) { e["resource"] = nil }), false},
		"resource is a string":    {envelope(t, func(e, _ map[string]any) { e["resource"] = plateNumber }), false},
		"another algorithm":       {envelope(t, func(_, r map[string]any) { r["algorithm"] = "AEAD_AES_128_GCM" }), false},
		"no algorithm":            {envelope(t, func(_, r map[string]any) { delete(r, "algorithm") }), false},
		"ciphertext is an object": {envelope(t, func(_, r map[string]any) { r["ciphertext"] = map[string]string{} }), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := wechatpay.ReadEnvelope(tc.body)
			if tc.ok && err != nil {
				t.Errorf("got %v, want it read", err)
			}
			if !tc.ok && !errors.Is(err, wechatpay.ErrMalformed) {
				t.Errorf("got %v, want %v", err, wechatpay.ErrMalformed)
			}
			if err != nil && strings.Contains(err.Error(), plateNumber) {
				t.Errorf("got %q, want nothing of the message in it", err)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	v := loadVectors(t).AEAD[1]
	key, other := must(signing.NewV3Key(v.Key)), must(signing.NewV3Key(apiV2Key))
	read := func(change func(e, r map[string]any)) wechatpay.Envelope {
		e, _, err := wechatpay.ReadEnvelope(envelope(t, change))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for name, tc := range map[string]struct {
		e    wechatpay.Envelope
		keys []*signing.V3Key
		want error
	}{
		"the key":                    {read(nil), []*signing.V3Key{key}, nil},
		"the second of two":          {read(nil), []*signing.V3Key{other, key}, nil},
		"associated_data is absent":  {read(func(_, r map[string]any) { delete(r, "associated_data") }), []*signing.V3Key{key}, nil},
		"another key":                {read(nil), []*signing.V3Key{other}, signing.ErrUndecryptable},
		"no key":                     {read(nil), nil, signing.ErrUndecryptable},
		"a nonce of 11":              {read(func(_, r map[string]any) { r["nonce"] = v.Nonce[:11] }), []*signing.V3Key{key}, signing.ErrUndecryptable},
		"no nonce":                   {read(func(_, r map[string]any) { delete(r, "nonce") }), []*signing.V3Key{key}, signing.ErrUndecryptable},
		"other associated_data":      {read(func(_, r map[string]any) { r["associated_data"] = "x" }), []*signing.V3Key{key}, signing.ErrUndecryptable},
		"no base64":                  {read(func(_, r map[string]any) { r["ciphertext"] = "!" + v.Ciphertext[1:] }), []*signing.V3Key{key}, signing.ErrUndecryptable},
		"shorter than its tag":       {read(func(_, r map[string]any) { r["ciphertext"] = "AAAA" }), []*signing.V3Key{key}, signing.ErrUndecryptable},
		"what is inside is no JSON":  {vectorEnvelope(t, 0), []*signing.V3Key{must(signing.NewV3Key(loadVectors(t).AEAD[0].Key))}, wechatpay.ErrMalformed},
		"what is inside is a number": {sealed(t, "1"), []*signing.V3Key{key}, wechatpay.ErrMalformed},
		"two objects":                {sealed(t, "{}{}"), []*signing.V3Key{key}, wechatpay.ErrMalformed},
		"mchid is a number":          {sealed(t, `{"mchid":1}`), []*signing.V3Key{key}, wechatpay.ErrMalformed},
		"mchid twice":                {sealed(t, `{"mchid":"1","mchid":"2"}`), []*signing.V3Key{key}, wechatpay.ErrMalformed},
		"nothing":                    {sealed(t, ""), []*signing.V3Key{key}, wechatpay.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.e.Open(tc.keys)
			if !errors.Is(err, tc.want) || (err != nil) != (tc.want != nil) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil && (string(got.JSON) != v.Plaintext || got.MchID != "1230000109" || got.SubMchID != "") {
				t.Errorf("got %s of %q/%q, want the vector's plaintext", got.JSON, got.MchID, got.SubMchID)
			}
			if err != nil && got.JSON != nil {
				t.Error("got a resource with the error, want none")
			}
		})
	}
}

func TestResourceMerchant(t *testing.T) {
	for text, want := range map[string]string{
		`{"mchid":"1"}`: "1", `{"mchid":"1","sub_mchid":"2"}`: "2", `{"sub_mchid":"2"}`: "2", `{}`: "", ` {"mchid":"1"} `: "1",
	} {
		got, err := sealed(t, text).Open([]*signing.V3Key{must(signing.NewV3Key(loadVectors(t).AEAD[1].Key))})
		if err != nil || got.Merchant() != want {
			t.Errorf("%s: got %q, %v, want %q", text, got.Merchant(), err, want)
		}
	}
}

func TestSignatureHeader(t *testing.T) {
	whole := func() http.Header { return signV3(ownKey(), publicKeyID, occurred, "") }
	for name, tc := range map[string]struct {
		change change
		want   error
	}{
		"whole":                {func(http.Header) {}, nil},
		"no timestamp":         {without("Wechatpay-Timestamp"), signing.ErrMissingHeader},
		"no nonce":             {without("Wechatpay-Nonce"), signing.ErrMissingHeader},
		"no signature":         {without("Wechatpay-Signature"), signing.ErrMissingHeader},
		"no serial":            {without("Wechatpay-Serial"), signing.ErrMissingHeader},
		"an empty serial":      {with("Wechatpay-Serial", ""), signing.ErrMissingHeader},
		"the timestamp twice":  {twice("Wechatpay-Timestamp"), wechatpay.ErrMalformed},
		"the nonce twice":      {twice("Wechatpay-Nonce"), wechatpay.ErrMalformed},
		"the signature twice":  {twice("Wechatpay-Signature"), wechatpay.ErrMalformed},
		"the serial twice":     {twice("Wechatpay-Serial"), wechatpay.ErrMalformed},
		"Signature-Type twice": {func(h http.Header) { h.Add("Wechatpay-Signature-Type", "a"); h.Add("Wechatpay-Signature-Type", "b") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := whole()
			tc.change(h)
			got, err := wechatpay.SignatureHeader(func(name string) (string, int) { return h.Get(name), len(h.Values(name)) })
			if !errors.Is(err, tc.want) || (err != nil) != (tc.want != nil) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if want := (signing.Header{Timestamp: h.Get("Wechatpay-Timestamp"), Nonce: h.Get("Wechatpay-Nonce"), Signature: h.Get("Wechatpay-Signature"), Serial: publicKeyID}); err == nil && got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if err != nil && h.Get("Wechatpay-Signature") != "" && strings.Contains(err.Error(), h.Get("Wechatpay-Signature")) {
				t.Errorf("got %q, want no signature in it", err)
			}
		})
	}
}

// TestReasons holds the closed list, the error behind each reason, and which of them may mean that keys are old.
func TestReasons(t *testing.T) {
	want := []wechatpay.Reason{
		"missing_header", "stale", "future", "unknown_key", "bad_base64", "bad_signature", "probe", "malformed", "undecryptable",
		"not_this_vendor", "not_subscribed", "queue_unavailable",
	}
	if got := wechatpay.Reasons(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: the list is closed, and only appended to", got, want)
	}
	for _, tc := range []struct {
		err  error
		want wechatpay.Reason
		old  bool
	}{
		{signing.ErrMissingHeader, wechatpay.ReasonMissingHeader, false},
		{signing.ErrStale, wechatpay.ReasonStale, false},
		{signing.ErrFuture, wechatpay.ReasonFuture, false},
		{signing.ErrUnknownKey, wechatpay.ReasonUnknownKey, true},
		{signing.ErrBadBase64, wechatpay.ReasonBadBase64, false},
		{signing.ErrBadSignature, wechatpay.ReasonBadSignature, true},
		{signing.ErrProbe, wechatpay.ReasonProbe, false},
		{signing.ErrMalformed, wechatpay.ReasonMalformed, false},
		{signing.ErrUndecryptable, wechatpay.ReasonUndecryptable, true},
		{flatxml.ErrDoctype, wechatpay.ReasonMalformed, false},
		{wechatpay.ErrMalformed, wechatpay.ReasonMalformed, false},
		{wechatpay.ErrStale, wechatpay.ReasonStale, false},
		{wechatpay.ErrFuture, wechatpay.ReasonFuture, false},
		{errScripted, wechatpay.ReasonMalformed, false},
	} {
		for _, err := range []error{tc.err, fmt.Errorf("wrapped: %w", tc.err)} {
			if got := wechatpay.ReasonOf(err); got != tc.want {
				t.Errorf("%v: got %s, want %s", err, got, tc.want)
			}
			if got := wechatpay.MayBeOldKeys(err); got != tc.old {
				t.Errorf("%v: got old keys %t, want %t", err, got, tc.old)
			}
		}
	}
}

// FuzzReadPlateState reads any XML: what is accepted has an owner, a plate and a moment within bounds, and the same
// string again when it is written and read once more.
func FuzzReadPlateState(f *testing.F) {
	f.Add([]byte(signedXML(apiV2Key, plateState)))
	f.Add([]byte(signedXML("", drop(plateState, "sub_mch_id"))))
	f.Add([]byte(signedXML("", set(plateState, "appid", "x&sub_mch_id=1"))))
	f.Add([]byte("<xml></xml>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := flatxml.Parse(body)
		if err != nil {
			return
		}
		p, err := wechatpay.ReadPlateState(d, occurred)
		if err != nil {
			if reason := wechatpay.ReasonOf(err); !slices.Contains(wechatpay.Reasons(), reason) {
				t.Fatalf("got reason %q, want one of the list", reason)
			}
			return
		}
		if p.MchID == "" || p.PlateNumber == "" || p.OccurredAt.Before(occurred.Add(-6*24*time.Hour)) || p.OccurredAt.After(occurred.Add(24*time.Hour)) {
			t.Fatalf("got %+v, which should not have been accepted", p)
		}
		again, err := wechatpay.ReadPlateState(must(flatxml.Parse(must(flatxml.Append(nil, d)))), occurred)
		if err != nil || again.Canonical() != p.Canonical() {
			t.Fatalf("got %v, %q, want %q again", err, again.Canonical(), p.Canonical())
		}
	})
}

// FuzzReadEnvelope reads anything and opens what it reads: it never panics, and fails with the documented errors alone.
func FuzzReadEnvelope(f *testing.F) {
	key := must(signing.NewV3Key(loadVectors(f).AEAD[1].Key))
	f.Add(envelope(f, nil))
	f.Add(envelope(f, func(_, r map[string]any) { r["nonce"] = "short" }))
	f.Add([]byte(`{"id":"1","create_time":"2020-05-20T13:29:35+08:00","resource":{"algorithm":"AEAD_AES_256_GCM"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, created, err := wechatpay.ReadEnvelope(body)
		if err != nil {
			if !errors.Is(err, wechatpay.ErrMalformed) {
				t.Fatalf("got %v, want %v", err, wechatpay.ErrMalformed)
			}
			return
		}
		if e.ID == "" || created.IsZero() {
			t.Fatalf("got id %q at %v, want both", e.ID, created)
		}
		resource, err := e.Open([]*signing.V3Key{key})
		switch {
		case err == nil && !json.Valid(resource.JSON):
			t.Fatal("got a resource that is no JSON")
		case err != nil && !errors.Is(err, wechatpay.ErrMalformed) && !errors.Is(err, signing.ErrUndecryptable):
			t.Fatalf("got %v, want one of the two documented errors", err)
		}
	})
}
