package stdwebhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The specification's own example, from its section on signature schemes and
// the libraries' tests.
const (
	specSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	specID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	specTimestamp = "1614265330"
	specBody      = `{"test": 2432232314}`
	specSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func mustSecret(t testing.TB, s string) Secret {
	t.Helper()
	secret, err := ParseSecret(s)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// secretOf returns a secret of 32 bytes c.
func secretOf(t testing.TB, c byte) Secret {
	t.Helper()
	return mustSecret(t, SecretPrefix+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{c}, 32)))
}

func TestParseSecret(t *testing.T) {
	tests := []struct {
		name, secret string
		want         error
	}{
		{"the specification's", specSecret, nil},
		{"one byte", "whsec_YQ==", nil},
		{"both special characters", "whsec_+/+/", nil},
		{"empty", "", ErrSecretPrefix},
		{"no prefix", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ErrSecretPrefix},
		{"another prefix", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ErrSecretPrefix},
		{"prefix in upper case", "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ErrSecretPrefix},
		{"space in front", " " + specSecret, ErrSecretPrefix},
		{"prefix alone", "whsec_", ErrSecretEmpty},
		{"space behind", specSecret + " ", ErrSecretBase64},
		{"line feed behind", specSecret + "\n", ErrSecretBase64},
		{"line feed inside", "whsec_MfKQ\n9r8G", ErrSecretBase64},
		{"no padding", "whsec_YQ", ErrSecretBase64},
		{"bits in the padding", "whsec_YR==", ErrSecretBase64},
		{"URL alphabet", "whsec_-_-_", ErrSecretBase64},
		{"prefix twice", "whsec_" + specSecret, ErrSecretBase64},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, got := ParseSecret(test.secret); !errors.Is(got, test.want) {
				t.Errorf("got error %v, want %v", got, test.want)
			}
		})
	}
}

func TestNewSecret(t *testing.T) {
	got, err := NewSecret(strings.NewReader("0123456789abcdef0123456789ABCDEF and more"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	mustSecret(t, got)

	if _, err := NewSecret(strings.NewReader("too short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("from a short reader: got error %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

// TestSignedText: the text that people are shown is the one that a signature is over.
func TestSignedText(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(specSecret, SecretPrefix))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, SignedText(specID, specTimestamp, []byte(specBody)))
	if got := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != specSignature {
		t.Errorf("got %q, want %q", got, specSignature)
	}
}

func TestSecretEqual(t *testing.T) {
	a, b := secretOf(t, 'a'), secretOf(t, 'b')
	tests := []struct {
		name        string
		left, right Secret
		want        bool
	}{
		{"the same value", a, a, true},
		{"parsed twice", a, secretOf(t, 'a'), true},
		{"another key", a, b, false},
		{"the beginning of a key", a, mustSecret(t, "whsec_YWFh"), false},
		{"zero values", Secret{}, Secret{}, true},
		{"a zero value", a, Secret{}, false},
		{"a zero value first", Secret{}, a, false},
	}
	for _, test := range tests {
		if got := test.left.Equal(test.right); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	secret := mustSecret(t, SecretPrefix+base64.StdEncoding.EncodeToString([]byte("topsecretkeytopsecretkey")))
	type holder struct {
		Exported   Secret
		List       []Secret
		unexported Secret
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range []any{secret, &secret, holder{secret, []Secret{secret}, secret}, []Secret{secret}} {
			got := fmt.Sprintf(verb, value)
			for _, leak := range []string{"topsecret", "dG9wc2Vj", "746f70", "746F70", "116 111 112"} {
				if strings.Contains(got, leak) {
					t.Errorf("%s of %T: got the key in %q", verb, value, got)
				}
			}
		}
	}
	if got, want := fmt.Sprint(secret), "whsec_[redacted]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSign(t *testing.T) {
	signedAt := time.Unix(1614265330, 999)
	first, second := mustSecret(t, specSecret), secretOf(t, 'b')
	if got := Sign(specID, signedAt, []byte(specBody), []Secret{first}); got != specSignature {
		t.Errorf("one secret: got %q, want %q", got, specSignature)
	}
	other := Sign(specID, signedAt, []byte(specBody), []Secret{second})
	if got, want := Sign(specID, signedAt, []byte(specBody), []Secret{second, first}), other+" "+specSignature; got != want {
		t.Errorf("two secrets: got %q, want %q", got, want)
	}
	if got := Sign(specID, signedAt, []byte(specBody), nil); got != "" {
		t.Errorf("no secret: got %q, want none", got)
	}
	if got, want := Sign(specID, signedAt, []byte(specBody), []Secret{{}, first}), specSignature; got != want {
		t.Errorf("a zero value first: got %q, want %q", got, want)
	}
}

func TestParseHeader(t *testing.T) {
	const other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	missing := func(header string) *HeaderError {
		return &HeaderError{Header: header, Missing: true, Detail: "The header is missing."}
	}
	const (
		idLong       = "The identifier must be at most 256 characters long."
		idCharacters = "The identifier must be printable ASCII without spaces and full stops."
		timestamp    = "The timestamp must be Unix seconds in decimal digits, without a sign or leading zeros."
		encoding     = `A signature after "v1," must be standard base64 of 32 bytes.`
		spaces       = "The signatures must be separated by single spaces."
		none         = `The header must hold a signature that begins with "v1,".`
		many         = "The header must hold at most 16 signatures."
	)
	malformed := func(header, detail string) *HeaderError { return &HeaderError{Header: header, Detail: detail} }
	tests := []struct {
		name                     string
		id, timestamp, signature string
		want                     *HeaderError
	}{
		{"the specification's", specID, specTimestamp, specSignature, nil},
		{"shortest identifier", "a", specTimestamp, specSignature, nil},
		{"longest identifier", strings.Repeat("a", 256), specTimestamp, specSignature, nil},
		{"identifier's first and last character", "!~", specTimestamp, specSignature, nil},
		{"the epoch", specID, "0", specSignature, nil},
		{"longest timestamp", specID, "99999999999", specSignature, nil},
		{"two signatures", specID, specTimestamp, other + " " + specSignature, nil},
		{"sixteen signatures", specID, specTimestamp, strings.Repeat(other+" ", 15) + specSignature, nil},
		{"another version in front", specID, specTimestamp, "v1a,whatever " + specSignature, nil},
		{"another version behind", specID, specTimestamp, specSignature + " v2,", nil},
		{"a word", specID, specTimestamp, "word " + specSignature, nil},

		{"nothing", "", "", "", missing(HeaderID)},
		{"no identifier", "", specTimestamp, specSignature, missing(HeaderID)},
		{"no timestamp", specID, "", specSignature, missing(HeaderTimestamp)},
		{"no signature", specID, specTimestamp, "", missing(HeaderSignature)},
		{"missing is said before malformed", "a.b", "x", "", missing(HeaderSignature)},

		{"long identifier", strings.Repeat("a", 257), specTimestamp, specSignature, malformed(HeaderID, idLong)},
		{"full stop in the identifier", "msg.1", specTimestamp, specSignature, malformed(HeaderID, idCharacters)},
		{"space in the identifier", "msg 1", specTimestamp, specSignature, malformed(HeaderID, idCharacters)},
		{"line feed in the identifier", "msg\n1", specTimestamp, specSignature, malformed(HeaderID, idCharacters)},
		{"DEL in the identifier", "msg\x7f", specTimestamp, specSignature, malformed(HeaderID, idCharacters)},
		{"identifier not in ASCII", "é", specTimestamp, specSignature, malformed(HeaderID, idCharacters)},

		{"sign in the timestamp", specID, "+1614265330", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"negative timestamp", specID, "-1", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"leading zero", specID, "01614265330", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"zeros", specID, "00", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"fraction", specID, "1614265330.5", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"milliseconds", specID, "1614265330000", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"twelve digits", specID, "100000000000", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"RFC 3339", specID, "2021-02-25T15:02:10Z", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"underscore", specID, "16_1426533", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"hexadecimal", specID, "0x60", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"space before the timestamp", specID, " 161426533", specSignature, malformed(HeaderTimestamp, timestamp)},
		{"full-width digits", specID, "１２", specSignature, malformed(HeaderTimestamp, timestamp)},

		{"no version", specID, specTimestamp, specSignature[3:], malformed(HeaderSignature, none)},
		{"other versions only", specID, specTimestamp, "v1a,abc v2,abc", malformed(HeaderSignature, none)},
		{"version in upper case", specID, specTimestamp, "V1," + specSignature[3:], malformed(HeaderSignature, none)},
		{"equals sign for the comma", specID, specTimestamp, "v1=" + specSignature[3:], malformed(HeaderSignature, none)},
		{"version alone", specID, specTimestamp, "v1,", malformed(HeaderSignature, encoding)},
		{"no padding", specID, specTimestamp, specSignature[:len(specSignature)-1], malformed(HeaderSignature, encoding)},
		{"bits in the padding", specID, specTimestamp, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=", malformed(HeaderSignature, encoding)},
		{"URL alphabet", specID, specTimestamp, strings.NewReplacer("+", "-", "/", "_").Replace(specSignature), malformed(HeaderSignature, encoding)},
		{"hexadecimal signature", specID, specTimestamp, "v1," + strings.Repeat("ab", 32), malformed(HeaderSignature, encoding)},
		{"thirty-one bytes", specID, specTimestamp, "v1," + base64.StdEncoding.EncodeToString(make([]byte, 31)), malformed(HeaderSignature, encoding)},
		{"thirty-three bytes", specID, specTimestamp, "v1," + base64.StdEncoding.EncodeToString(make([]byte, 33)), malformed(HeaderSignature, encoding)},
		{"line feed in the signature", specID, specTimestamp, "v1,g0hM\n" + specSignature[7:], malformed(HeaderSignature, encoding)},
		{"a bad one among good ones", specID, specTimestamp, specSignature + " v1,x", malformed(HeaderSignature, encoding)},
		{"header twice, joined by a comma", specID, specTimestamp, specSignature + "," + specSignature, malformed(HeaderSignature, encoding)},
		{"two spaces", specID, specTimestamp, other + "  " + specSignature, malformed(HeaderSignature, spaces)},
		{"space in front", specID, specTimestamp, " " + specSignature, malformed(HeaderSignature, spaces)},
		{"space behind", specID, specTimestamp, specSignature + " ", malformed(HeaderSignature, spaces)},
		{"tab between", specID, specTimestamp, other + "\t" + specSignature, malformed(HeaderSignature, encoding)},
		{"seventeen signatures", specID, specTimestamp, strings.Repeat(other+" ", 16) + specSignature, malformed(HeaderSignature, many)},
		{"seventeen tokens", specID, specTimestamp, strings.Repeat("x ", 16) + specSignature, malformed(HeaderSignature, many)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			message, err := ParseHeader(test.id, test.timestamp, test.signature)
			if test.want == nil {
				if err != nil {
					t.Fatalf("got error %v, want none", err)
				}
				if message.ID != test.id || strconv.FormatInt(message.Timestamp.Unix(), 10) != test.timestamp {
					t.Errorf("got %q at %v, want %q at %s", message.ID, message.Timestamp, test.id, test.timestamp)
				}
				return
			}
			got, ok := errors.AsType[*HeaderError](err)
			if !ok {
				t.Fatalf("got error %v, want %v", err, test.want)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeaderErrorText(t *testing.T) {
	err := &HeaderError{Header: HeaderID, Missing: true, Detail: "The header is missing."}
	if got, want := err.Error(), "stdwebhook: webhook-id: The header is missing."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCheckTime(t *testing.T) {
	signedAt := time.Unix(1614265330, 0)
	tests := []struct {
		name  string
		clock time.Duration // after signedAt
		want  error
	}{
		{"at once", 0, nil},
		{"300 s later", 300 * time.Second, nil},
		{"later in that second", 300*time.Second + 999_999_999, nil},
		{"301 s later", 301 * time.Second, ErrTooOld},
		{"300 s earlier", -300 * time.Second, nil},
		{"a nanosecond earlier still", -300*time.Second - 1, ErrTooNew},
		{"a century later", 100 * 365 * 24 * time.Hour, ErrTooOld},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := (Message{Timestamp: signedAt}).CheckTime(signedAt.Add(test.clock)); !errors.Is(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	far, err := ParseHeader(specID, "99999999999", specSignature)
	if err != nil {
		t.Fatal(err)
	}
	if got := far.CheckTime(signedAt); !errors.Is(got, ErrTooNew) {
		t.Errorf("the last timestamp: got %v, want %v", got, ErrTooNew)
	}
}

func TestVerify(t *testing.T) {
	a, b, c := secretOf(t, 'a'), secretOf(t, 'b'), secretOf(t, 'c')
	signedAt := time.Unix(1614265330, 0)
	body := []byte(specBody)
	signed := func(secrets ...Secret) string { return Sign(specID, signedAt, body, secrets) }
	tests := []struct {
		name      string
		id        string
		timestamp string
		signature string
		body      string
		secrets   []Secret
		want      error
	}{
		{"one of one", specID, specTimestamp, signed(a), specBody, []Secret{a}, nil},
		{"the receiver rotates", specID, specTimestamp, signed(a), specBody, []Secret{b, a}, nil},
		{"the sender rotates", specID, specTimestamp, signed(b, a), specBody, []Secret{a}, nil},
		{"both rotate", specID, specTimestamp, signed(b, a), specBody, []Secret{c, b}, nil},
		{"a zero value among the secrets", specID, specTimestamp, signed(a), specBody, []Secret{{}, a}, nil},
		{"another secret", specID, specTimestamp, signed(a), specBody, []Secret{b}, ErrBadSignature},
		{"no secret", specID, specTimestamp, signed(a), specBody, nil, ErrBadSignature},
		{"a zero value alone", specID, specTimestamp, signed(a), specBody, []Secret{{}}, ErrBadSignature},
		{"another identifier", "msg_other", specTimestamp, signed(a), specBody, []Secret{a}, ErrBadSignature},
		{"another time", specID, "1614265331", signed(a), specBody, []Secret{a}, ErrBadSignature},
		{"another body", specID, specTimestamp, signed(a), specBody + " ", []Secret{a}, ErrBadSignature},
		{"no body", specID, specTimestamp, signed(a), "", []Secret{a}, ErrBadSignature},
		{"the right signature under another version", specID, specTimestamp, "v1a" + signed(a)[2:] + " " + signed(b), specBody, []Secret{a}, ErrBadSignature},
		{"a part moved from the body to the timestamp", specID, specTimestamp + "0", Sign(specID, signedAt, []byte("0"+specBody), []Secret{a}), specBody, []Secret{a}, ErrBadSignature},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			message, err := ParseHeader(test.id, test.timestamp, test.signature)
			if err != nil {
				t.Fatal(err)
			}
			if got := message.Verify([]byte(test.body), test.secrets); !errors.Is(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestVerifyEveryBit flips each bit of a good signature.
func TestVerifyEveryBit(t *testing.T) {
	secrets := []Secret{secretOf(t, 'a')}
	message, err := ParseHeader(specID, specTimestamp, Sign(specID, time.Unix(1614265330, 0), nil, secrets))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * sha256.Size {
		message.signatures[0][bit/8] ^= 1 << (bit % 8)
		if got := message.Verify(nil, secrets); !errors.Is(got, ErrBadSignature) {
			t.Errorf("bit %d: got %v, want %v", bit, got, ErrBadSignature)
		}
		message.signatures[0][bit/8] ^= 1 << (bit % 8)
	}
	if err := message.Verify(nil, secrets); err != nil {
		t.Errorf("unchanged: got %v, want none", err)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(specID, specTimestamp, specSignature)
	f.Add("a", "0", "v1a,x "+specSignature)
	f.Add("", "", "")
	f.Add("a.b", "01", "v1, v1,")
	f.Fuzz(func(t *testing.T, id, timestamp, signature string) {
		message, err := ParseHeader(id, timestamp, signature)
		if err != nil {
			got, ok := errors.AsType[*HeaderError](err)
			if !ok || got.Detail == "" || got.Missing != (id == "" || timestamp == "" || signature == "") {
				t.Fatalf("got error %#v, want a *HeaderError", err)
			}
			return
		}
		if message.ID != id || strings.ContainsAny(id, ". \n") || strconv.FormatInt(message.Timestamp.Unix(), 10) != timestamp {
			t.Errorf("got %q at %v from %q, %q", message.ID, message.Timestamp, id, timestamp)
		}
		for _, got := range message.signatures {
			if token := version + base64.StdEncoding.EncodeToString(got[:]); !strings.Contains(" "+signature+" ", " "+token+" ") {
				t.Errorf("got signature %q, which is not a token of %q", token, signature)
			}
		}
		if n := len(message.signatures); n == 0 || n > maxSignatures {
			t.Errorf("got %d signatures, want 1 to %d", n, maxSignatures)
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	f.Add(specSecret)
	f.Add("whsec_")
	f.Add("whsec_YQ")
	f.Add("whsec_Y\nQ==")
	f.Fuzz(func(t *testing.T, s string) {
		secret, err := ParseSecret(s)
		if err != nil {
			if !errors.Is(err, ErrSecretPrefix) && !errors.Is(err, ErrSecretBase64) && !errors.Is(err, ErrSecretEmpty) {
				t.Errorf("got error %v, want one of three", err)
			}
			return
		}
		if got := SecretPrefix + base64.StdEncoding.EncodeToString(secret.key()); got != s {
			t.Errorf("got %q from %q, want one way to write a secret", got, s)
		}
	})
}

func FuzzSignVerify(f *testing.F) {
	f.Add("msg_1", int64(1614265330), []byte(specBody), []byte("key"))
	f.Fuzz(func(t *testing.T, id string, seconds int64, body, key []byte) {
		if len(key) == 0 || checkID(id) != "" || id == "" || seconds < 0 || seconds > 99999999999 {
			return
		}
		secrets := []Secret{mustSecret(t, SecretPrefix+base64.StdEncoding.EncodeToString(key))}
		signedAt := time.Unix(seconds, 0)
		message, err := ParseHeader(id, strconv.FormatInt(seconds, 10), Sign(id, signedAt, body, secrets))
		if err != nil {
			t.Fatal(err)
		}
		if err := message.Verify(body, secrets); err != nil {
			t.Errorf("got %v, want what Sign made verified", err)
		}
		if err := message.Verify(append(bytes.Clone(body), 'x'), secrets); !errors.Is(err, ErrBadSignature) {
			t.Errorf("longer body: got %v, want %v", err, ErrBadSignature)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	secrets := []Secret{secretOf(b, 'a'), secretOf(b, 'b')}
	body := []byte(specBody)
	signature := Sign(specID, time.Unix(1614265330, 0), body, secrets[1:])
	b.ReportAllocs()
	for b.Loop() {
		message, err := ParseHeader(specID, specTimestamp, signature)
		if err != nil {
			b.Fatal(err)
		}
		if err := message.Verify(body, secrets); err != nil {
			b.Fatal(err)
		}
	}
}
