package awsenv_test

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/shared/awsenv"
)

func ExampleConfig() {
	environment := map[string]string{
		"AWS_REGION":            "cn-north-1",
		"AWS_ACCESS_KEY_ID":     "ASIAEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "example",
		"AWS_ENDPOINT_URL_SQS":  "http://127.0.0.1:5000",
	}
	getenv := func(name string) string { return environment[name] } // os.Getenv in a function

	cfg, err := awsenv.Config(getenv, 800*time.Millisecond)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := sqs.NewFromConfig(cfg)
	fmt.Println(client.Options().Region, *client.Options().BaseEndpoint)

	delete(environment, "AWS_REGION")
	_, err = awsenv.Config(getenv, 800*time.Millisecond)
	fmt.Println(err)
	// Output:
	// cn-north-1 http://127.0.0.1:5000
	// awsenv: missing setting: AWS_REGION
}
