package awsenv

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const endpointSetting = "AWS_ENDPOINT_URL"

// endpoints answers the questions that a service package asks the sources of its
// configuration: the SDK finds these methods by interface assertion on
// aws.Config.ConfigSources.
type endpoints struct {
	base            *string // for every service without an endpoint of its own
	ignore          bool
	fips, dualStack bool
	environment     environment
}

func (e environment) endpoints() (*endpoints, error) {
	s := &endpoints{environment: e}
	var err error
	if s.ignore, _, err = e.boolean("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"); err != nil {
		return nil, err
	}
	if s.fips, _, err = e.boolean("AWS_USE_FIPS_ENDPOINT"); err != nil {
		return nil, err
	}
	if s.dualStack, _, err = e.boolean("AWS_USE_DUALSTACK_ENDPOINT"); err != nil {
		return nil, err
	}
	if s.ignore {
		return s, nil
	}
	// A service package drops the error of a source and would go to AWS, so the
	// settings of the services in use are checked here.
	for _, service := range []string{"Secrets Manager", "SQS", "DynamoDB"} {
		if _, _, err := e.endpoint(serviceSetting(service)); err != nil {
			return nil, err
		}
	}
	base, found, err := e.endpoint(endpointSetting)
	if err != nil {
		return nil, err
	}
	if found {
		s.base = &base
	}
	return s, nil
}

// endpoint returns the URL of an endpoint setting, and whether it is there.
func (e environment) endpoint(setting string) (string, bool, error) {
	text := e.getenv(setting)
	if text == "" {
		return "", false, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", false, fmt.Errorf("%w: %s is not an http or https URL", ErrMalformed, setting)
	}
	return text, true, nil
}

// url returns where the SDK finds a service: its own setting, the one for all, or
// AWS's address of it. The rules of FIPS and dual-stack endpoints are the SDK's
// alone, and url returns "" for them.
//
// Source: https://docs.aws.amazon.com/general/latest/gr/rande.html and, for China,
// https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-arns.html
func (s *endpoints) url(ctx context.Context, region, sdkID string) string {
	if own, found, err := s.GetServiceBaseEndpoint(ctx, sdkID); err == nil && found {
		return own
	}
	if s.base != nil {
		return *s.base
	}
	if s.fips || s.dualStack {
		return ""
	}
	suffix := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		suffix = "amazonaws.com.cn"
	}
	return "https://" + strings.ToLower(strings.ReplaceAll(sdkID, " ", "")) + "." + region + "." + suffix
}

// serviceSetting returns the name of a service's own endpoint setting: its SDK
// id in upper case, spaces as underscores.
func serviceSetting(sdkID string) string {
	return endpointSetting + "_" + strings.ToUpper(strings.ReplaceAll(sdkID, " ", "_"))
}

// GetServiceBaseEndpoint returns the endpoint of one service, named by its SDK id.
func (s *endpoints) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	if s.ignore {
		return "", false, nil
	}
	return s.environment.endpoint(serviceSetting(sdkID))
}

// GetUseFIPSEndpoint returns whether endpoints validated for FIPS 140 are used.
func (s *endpoints) GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error) {
	if s.fips {
		return aws.FIPSEndpointStateEnabled, true, nil
	}
	return aws.FIPSEndpointStateUnset, false, nil
}

// GetUseDualStackEndpoint returns whether endpoints with an IPv6 address are used.
func (s *endpoints) GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error) {
	if s.dualStack {
		return aws.DualStackEndpointStateEnabled, true, nil
	}
	return aws.DualStackEndpointStateUnset, false, nil
}
