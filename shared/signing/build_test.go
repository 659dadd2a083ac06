package signing_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"testing"
	"time"

	"wechat-parking-gateway/shared/signing"
)

func mustV2Key(t testing.TB, key string) *signing.V2Key {
	t.Helper()
	k, err := signing.NewV2Key(key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustV3Key(t testing.TB, key string) *signing.V3Key {
	t.Helper()
	k, err := signing.NewV3Key(key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustPublicKey(t testing.TB, text string) *rsa.PublicKey {
	t.Helper()
	key, err := signing.ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func vectorPrivateKey(t testing.TB, v vectors) *rsa.PrivateKey {
	t.Helper()
	key, err := signing.ParsePrivateKey(v.V3.PrivateKeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func vectorSigner(t testing.TB, v vectors) *signing.Signer {
	t.Helper()
	return signing.NewSigner(v.V3.MchID, v.V3.SerialNo, vectorPrivateKey(t, v))
}

// signResponse signs as WeChat Pay does, apart from the code under test.
func signResponse(t testing.TB, key *rsa.PrivateKey, h signing.Header, body []byte) string {
	t.Helper()
	digest := sha256.Sum256([]byte(h.Timestamp + "\n" + h.Nonce + "\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

func unix(t testing.TB, seconds string) time.Time {
	t.Helper()
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(n, 0)
}
