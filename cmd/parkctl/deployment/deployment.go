// Package deployment finds the gateway that a command is meant for: the running local stack by its state file, or a stack
// in an AWS account by CloudFormation. What the commands need of it, such as names of secrets and URLs of queues, comes
// from there, so that nobody has to copy it into flags.
//
// Only cmd/parkctl may import it.
package deployment

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"wechat-parking-gateway/local/moto"
	"wechat-parking-gateway/local/stack"
)

// Local is the name of the stack that runs on this machine.
const Local = "local"

// The defaults of the template's parameters, for secrets that are made before the stack is.
const (
	DefaultMerchantSecret    = "wechat-parking/merchant"
	DefaultMerchantKeySecret = "wechat-parking/merchant-key"
	DefaultVendorsSecret     = "wechat-parking/vendors"
)

// ErrNoStack says that the account has no stack of that name in that region.
var ErrNoStack = errors.New("there is no such stack")

// Target says which gateway is meant.
type Target struct {
	// Stack is a CloudFormation stack's name, or Local.
	Stack string
	// Profile and Region are those of the AWS configuration; empty ones are left to the environment.
	Profile, Region string
	// Root is the project's folder, where the running local stack is found.
	Root string
}

// Deployment is one gateway. What is unknown is empty: a stack that does not exist yet has neither status nor address.
type Deployment struct {
	Stack           string
	Local           bool
	Profile, Region string
	// Account is known after Identify, and so is ServerTime, AWS's clock at At by this machine's.
	Account        string
	ServerTime, At time.Time
	// AWS is the configuration of clients for its account and region.
	AWS aws.Config
	// Status is CloudFormation's, "" for a stack that does not exist.
	Status string
	// Parameters and Outputs are the stack's, by name.
	Parameters, Outputs map[string]string

	BaseURL                           string
	MerchantSecret, MerchantKeySecret string
	VendorsSecrets                    []string
	EventsQueueURL                    string
	DeadLetterQueueURL                string
	Table                             string
	WeChatPayURL                      string
	CallbackBaseURL                   string
	Version                           string
}

// Open finds the gateway. For a stack that does not exist it returns what is known and an error that wraps ErrNoStack.
func Open(ctx context.Context, target Target) (*Deployment, error) {
	if target.Stack == Local {
		return openLocal(target)
	}
	var options []func(*config.LoadOptions) error
	if target.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(target.Profile))
	}
	if target.Region != "" {
		options = append(options, config.WithRegion(target.Region))
	}
	aws, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if aws.Region == "" {
		return nil, errors.New("no AWS region: pass --region, or set AWS_REGION, or give the profile one")
	}
	d := &Deployment{Stack: target.Stack, Profile: target.Profile, Region: aws.Region, AWS: aws}
	if err := d.describe(ctx); err != nil {
		return d, err
	}
	return d, nil
}

func openLocal(target Target) (*Deployment, error) {
	state, err := stack.ReadState(target.Root)
	if err != nil {
		return nil, err
	}
	return &Deployment{
		Stack: Local, Local: true, Region: moto.Region, AWS: moto.Config(state.AWSEndpoint), Status: "running",
		BaseURL: state.BaseURL, MerchantSecret: state.MerchantSecret, MerchantKeySecret: state.MerchantKeySecret,
		VendorsSecrets: state.VendorsSecrets, EventsQueueURL: state.EventsQueueURL, DeadLetterQueueURL: state.DeadLetterQueueURL,
		Table: state.Table, WeChatPayURL: state.WeChatPayURL, CallbackBaseURL: state.BaseURL,
	}, nil
}

// describe reads the stack's parameters and outputs.
func (d *Deployment) describe(ctx context.Context) error {
	out, err := cloudformation.NewFromConfig(d.AWS).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &d.Stack})
	if err != nil {
		if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "does not exist") {
			return fmt.Errorf("%w: %s in region %s; check --stack, --region and --profile", ErrNoStack, d.Stack, d.Region)
		}
		return fmt.Errorf("asking CloudFormation about the stack %s in region %s: %w", d.Stack, d.Region, Plain(err))
	}
	if len(out.Stacks) == 0 {
		return fmt.Errorf("%w: %s in region %s; check --stack, --region and --profile", ErrNoStack, d.Stack, d.Region)
	}
	found := out.Stacks[0]
	d.Status = string(found.StackStatus)
	d.Parameters, d.Outputs = map[string]string{}, map[string]string{}
	for _, p := range found.Parameters {
		d.Parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	for _, o := range found.Outputs {
		d.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	d.BaseURL = d.Outputs["ApiUrl"]
	d.MerchantSecret, d.MerchantKeySecret = d.Parameters["MerchantSecretName"], d.Parameters["MerchantKeySecretName"]
	if names := d.Parameters["VendorsSecretNames"]; names != "" {
		d.VendorsSecrets = strings.Split(names, ",")
	}
	d.EventsQueueURL, d.DeadLetterQueueURL = d.Outputs["EventsQueueUrl"], d.Outputs["EventsDeadLetterQueueUrl"]
	d.Table, d.WeChatPayURL = d.Outputs["IdempotencyTableName"], d.Parameters["WeChatPayBaseUrl"]
	d.CallbackBaseURL, d.Version = d.Parameters["CallbackBaseUrl"], d.Outputs["Version"]
	return nil
}

// Identify asks AWS whose credentials these are, which sets Account and proves that they work.
func (d *Deployment) Identify(ctx context.Context) error {
	out, err := sts.NewFromConfig(d.AWS).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return fmt.Errorf("AWS does not take the credentials (check --profile, or log in again): %w", Plain(err))
	}
	d.Account = aws.ToString(out.Account)
	d.At = time.Now()
	d.ServerTime, _ = middleware.GetServerTime(out.ResultMetadata)
	return nil
}

// String says where the deployment is, in one line.
func (d *Deployment) String() string {
	profile, account := d.Profile, d.Account
	if d.Local {
		profile = "none"
	}
	if profile == "" {
		profile = "default"
	}
	if account == "" {
		account = "unknown"
	}
	return fmt.Sprintf("profile %s, region %s, account %s, stack %s", profile, d.Region, account, d.Stack)
}

// Resources returns the physical ids of the stack's resources of a type, such as AWS::CloudWatch::Alarm. The local stack has
// none.
func (d *Deployment) Resources(ctx context.Context, resourceType string) ([]string, error) {
	if d.Local {
		return nil, nil
	}
	var ids []string
	pages := cloudformation.NewListStackResourcesPaginator(cloudformation.NewFromConfig(d.AWS), &cloudformation.ListStackResourcesInput{StackName: &d.Stack})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the resources of the stack %s: %w", d.Stack, Plain(err))
		}
		for _, resource := range page.StackResourceSummaries {
			if aws.ToString(resource.ResourceType) == resourceType && resource.PhysicalResourceId != nil {
				ids = append(ids, *resource.PhysicalResourceId)
			}
		}
	}
	return ids, nil
}

// China tells whether the region belongs to AWS China, whose partition has its own rules.
func (d *Deployment) China() bool { return strings.HasPrefix(d.Region, "cn-") }

// Plain keeps of an AWS client's error what tells the reader something: the service's code and message, or the cause of a
// call that never came to an answer.
func Plain(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return &plain{text: api.ErrorCode() + ": " + api.ErrorMessage(), cause: err}
	}
	if unreached, ok := errors.AsType[*url.Error](err); ok && !errors.Is(err, context.Canceled) {
		return &plain{text: "AWS cannot be reached: " + unreached.Error(), cause: err}
	}
	if operation, ok := errors.AsType[*smithy.OperationError](err); ok {
		return &plain{text: operation.Unwrap().Error(), cause: err}
	}
	return err
}

type plain struct {
	text  string
	cause error
}

func (p *plain) Error() string { return p.text }
func (p *plain) Unwrap() error { return p.cause }
