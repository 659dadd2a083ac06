package stdwebhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"strconv"
	"testing"
	"time"
)

// vendorBody is as long as a vendor's call of the V3 route.
const vendorBody = `{"sub_mchid":"1900000109","brandid":1000,"appid":"wx931386123456789e","openid":"oUpF8uMuAJOM2pxb1Q",` +
	`"plate_number":"粤B888888","state":"IN","time":"2022-06-01T10:43:39+08:00"}`

// authentication returns what it takes to authenticate a vendor's request: its headers read, its time and signature checked.
func authentication(t testing.TB) func() error {
	t.Helper()
	at := time.Unix(1614265330, 0)
	secrets := []Secret{secretOf(t, 'a')}
	body := []byte(vendorBody)
	id, timestamp, signature := "visit-4711-in", strconv.FormatInt(at.Unix(), 10), Sign("visit-4711-in", at, body, secrets)
	return func() error {
		m, err := ParseHeader(id, timestamp, signature)
		if err != nil {
			return err
		}
		if err := m.CheckTime(at); err != nil {
			return err
		}
		return m.Verify(body, secrets)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	authenticate := authentication(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := authenticate(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAuthenticateFloor is the bare HMAC over the same bytes.
func BenchmarkAuthenticateFloor(b *testing.B) {
	message := []byte("visit-4711-in.1614265330." + vendorBody)
	key := make([]byte, 32)
	var sum [sha256.Size]byte
	b.ReportAllocs()
	for b.Loop() {
		mac := hmac.New(sha256.New, key)
		mac.Write(message)
		mac.Sum(sum[:0])
	}
}
