package secrets_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"wechat-parking-gateway/shared/secrets"
)

// A function's main package gives New a *secretsmanager.Client and the parse
// function of shared/merchant or shared/vendor.
func Example() {
	client := apiFunc(func(_ context.Context, id string) (*secretsmanager.GetSecretValueOutput, error) {
		return &secretsmanager.GetSecretValueOutput{SecretString: aws.String("what " + id + " holds")}, nil
	})
	parse := func(docs [][]byte) (string, error) { return string(docs[0]), nil }

	cache := secrets.New(client, []string{"parking/merchant"}, parse)
	value, err := cache.Get(context.Background())
	fmt.Println(value, err)

	_, changed, err := cache.Refresh(context.Background())
	fmt.Println(changed, err)
	// Output:
	// what parking/merchant holds <nil>
	// false <nil>
}
