package secretstore_test

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// fake is one secret, kept as Secrets Manager keeps it.
type fake struct {
	mu       sync.Mutex
	versions map[string]version
	current  string
	puts     int
	// onGet and onPut, when set, are called before a call and may replace its result by an error.
	onGet func(versionID string) error
	onPut func() error
	// lose makes a put succeed and its answer get lost.
	lose error
}

type version struct {
	text   *string
	binary []byte
}

func newFake(text string) *fake {
	return &fake{versions: map[string]version{"first": {text: &text}}, current: "first"}
}

func (f *fake) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	if f.onGet != nil {
		if err := f.onGet(aws.ToString(in.VersionId)); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := aws.ToString(in.VersionId)
	if id == "" {
		if aws.ToString(in.VersionStage) != "AWSCURRENT" {
			return nil, &types.InvalidParameterException{Message: aws.String("the stage must be named")}
		}
		id = f.current
	}
	v, ok := f.versions[id]
	if !ok {
		return nil, &types.ResourceNotFoundException{Message: aws.String("no such version")}
	}
	out := &secretsmanager.GetSecretValueOutput{VersionId: &id, SecretString: v.text, SecretBinary: v.binary}
	if id == f.current {
		out.VersionStages = []string{"AWSCURRENT"}
	}
	return out, nil
}

func (f *fake) PutSecretValue(_ context.Context, in *secretsmanager.PutSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error) {
	if f.onPut != nil {
		if err := f.onPut(); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := aws.ToString(in.ClientRequestToken)
	if old, ok := f.versions[id]; ok {
		if aws.ToString(old.text) != aws.ToString(in.SecretString) || !slices.Equal(old.binary, in.SecretBinary) {
			return nil, &types.ResourceExistsException{Message: aws.String("it exists")}
		}
		return &secretsmanager.PutSecretValueOutput{VersionId: &id}, nil // and the label stays where it is
	}
	f.versions[id] = version{in.SecretString, in.SecretBinary}
	f.current = id
	f.puts++
	return &secretsmanager.PutSecretValueOutput{VersionId: &id}, f.lose
}

// console writes as a person in the console does, without looking.
func (f *fake) console(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = "console-" + strconv.Itoa(len(f.versions))
	f.versions[f.current] = version{text: &text}
}

// label makes a version current again.
func (f *fake) label(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = id
}

func (f *fake) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return aws.ToString(f.versions[f.current].text)
}
