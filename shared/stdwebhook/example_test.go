package stdwebhook_test

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"wechat-parking-gateway/shared/stdwebhook"
)

func Example() {
	secret, err := stdwebhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	secrets := []stdwebhook.Secret{secret}
	now := time.Unix(1614265330, 0)
	body := []byte(`{"test": 2432232314}`)

	// The sender:
	signature := stdwebhook.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", now, body, secrets)
	fmt.Println(signature)

	// The receiver:
	message, err := stdwebhook.ParseHeader("msg_p5jXN8AQM9LWM0D4loKWxJek", strconv.FormatInt(now.Unix(), 10), signature)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(message.CheckTime(now.Add(time.Minute)), message.Verify(body, secrets))
	fmt.Println(errors.Is(message.Verify([]byte("{}"), secrets), stdwebhook.ErrBadSignature))
	// Output:
	// v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
	// <nil> <nil>
	// true
}
