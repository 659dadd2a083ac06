package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/jsonedit"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/wechatpay"
)

// keysPointer is where the merchant's document holds what WeChat Pay signs with.
const keysPointer = jsontext.Pointer("/wechatpay_keys")

// changes are what a renewal did, by serial numbers.
type changes struct {
	added, dropped []string
	problems       []error // what was left as it is, for an operator to look at
}

// renew returns the merchant's document with the certificates of list that it lacks, and without those that have expired.
// Everything else stays byte for byte. A document that needs no change comes back as it is.
//
// An expired certificate stays when it is the one that answers are to be signed with, so that the document stays valid, and
// when nothing would be left that has not expired. A public key is never touched: it does not expire.
func renew(document []byte, list []wechatpay.PlatformCertificate, now time.Time) ([]byte, changes, error) {
	var done changes
	m, err := merchant.Parse([][]byte{document})
	if err != nil {
		return nil, done, err
	}
	next := document
	if _, there := jsonedit.Get(document, keysPointer); !there {
		if next, err = jsonedit.Add(next, keysPointer, map[string]string{}); err != nil {
			return nil, done, err
		}
	}
	for _, c := range list {
		if held, ok := m.Certificates[c.SerialNo]; ok {
			if !held.Equal(c.Certificate) {
				done.problems = append(done.problems, fmt.Errorf("the secret holds another certificate as %s than WeChat Pay has: take it away, and the next run adds the right one", c.SerialNo))
			}
			continue
		}
		if next, err = jsonedit.Add(next, keysPointer.AppendToken(c.SerialNo), c.PEM); err != nil {
			return nil, done, err
		}
		done.added = append(done.added, c.SerialNo)
	}
	if len(done.added) == 0 {
		next = document // without an empty wechatpay_keys
	} else if m, err = merchant.Parse([][]byte{next}); err != nil {
		return nil, changes{}, fmt.Errorf("with the new certificates: %w", err)
	}
	next, err = dropExpired(next, m, now, &done)
	if err != nil {
		return nil, changes{}, err
	}
	if _, err := merchant.Parse([][]byte{next}); err != nil {
		return nil, changes{}, fmt.Errorf("without the expired certificates: %w", err)
	}
	return next, done, nil
}

func dropExpired(document []byte, m *merchant.Merchant, now time.Time, done *changes) ([]byte, error) {
	var expired []string
	for _, serial := range slices.Sorted(maps.Keys(m.Certificates)) {
		if now.After(m.Certificates[serial].NotAfter) {
			expired = append(expired, serial)
		}
	}
	if len(expired) == len(m.WeChatPayKeys) {
		return document, nil
	}
	for _, serial := range expired {
		if serial == m.ResponseKeyID {
			done.problems = append(done.problems, fmt.Errorf("the certificate %s has expired, and response_key_id asks for answers signed with it: name a newer one, or take response_key_id away", serial))
			continue
		}
		var err error
		if document, err = jsonedit.Remove(document, keysPointer.AppendToken(serial)); err != nil {
			return nil, err
		}
		done.dropped = append(done.dropped, serial)
	}
	return document, nil
}

// daysLeft returns the whole days until no certificate is left to go by, and false for a merchant without any: until the
// one expires that answers are asked to be signed with, which is the newest unless response_key_id names another, or else
// the last of them.
func daysLeft(m *merchant.Merchant, now time.Time) (int64, bool) {
	if len(m.Certificates) == 0 {
		return 0, false
	}
	until := time.Time{}
	if c, ok := m.Certificates[m.ResponseKeyID]; ok {
		until = c.NotAfter
	} else {
		for _, c := range m.Certificates {
			if c.NotAfter.After(until) {
				until = c.NotAfter
			}
		}
	}
	return int64(math.Floor(until.Sub(now).Hours() / 24)), true
}
