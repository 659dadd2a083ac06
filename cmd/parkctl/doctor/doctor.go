// Package doctor looks at everything that a gateway needs, and says of each thing whether it is in order and what to do if
// it is not. It reads and changes nothing.
//
// Only cmd/parkctl may import it.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"wechat-parking-gateway/cmd/parkctl/deployment"
	"wechat-parking-gateway/cmd/parkctl/secretdoc"
)

// Status says how a thing stands.
type Status string

// The statuses. Warn is what works and deserves a look, Fail what does not.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Line is what was found about one thing.
type Line struct {
	Status Status `json:"status"`
	What   string `json:"what"`
	Detail string `json:"detail"`
	Do     string `json:"do,omitzero"`
}

// Patient is who is looked at.
type Patient struct {
	*deployment.Deployment
	// StackError is why the stack could not be found, nil if it was.
	StackError error
	// Version is that of the tool.
	Version string
	// Secrets fetches the secrets for their check.
	Secrets func(context.Context) (secretdoc.Set, error)
	// HTTP reaches WeChat Pay and the gateway.
	HTTP *http.Client
	Now  func() time.Time
}

// patience bounds each look.
const patience = 10 * time.Second

// Examine looks at everything and tells each line as it is found.
func Examine(ctx context.Context, p Patient, tell func(Line)) {
	for _, look := range []func(context.Context, Patient) []Line{
		region, credentials, stack, secrets, encryption, queue, table, icp, address, weChatPay, clock, alarms,
	} {
		if ctx.Err() != nil {
			return
		}
		bounded, cancel := context.WithTimeout(ctx, patience)
		for _, line := range look(bounded, p) {
			tell(line)
		}
		cancel()
	}
}

func one(status Status, what, do, format string, args ...any) []Line {
	return []Line{{Status: status, What: what, Detail: fmt.Sprintf(format, args...), Do: do}}
}

func failed(what string, err error, do string) []Line {
	if _, unreached := errors.AsType[*url.Error](err); unreached {
		do = "see whether this machine reaches AWS: the network, a proxy, --region"
	}
	return one(Fail, what, do, "%v", deployment.Plain(err))
}

func region(_ context.Context, p Patient) []Line {
	partition := "aws"
	if p.China() {
		partition = "aws-cn (AWS China)"
	}
	if p.Local {
		partition += ", emulated on this machine"
	}
	return one(OK, "region", "", "%s, partition %s", p.Region, partition)
}

func credentials(ctx context.Context, p Patient) []Line {
	if err := p.Identify(ctx); err != nil {
		return failed("credentials", err, "log in again (aws sso login), or name another --profile")
	}
	return one(OK, "credentials", "", "account %s", p.Account)
}

func stack(_ context.Context, p Patient) []Line {
	status := p.Status
	switch {
	case p.Local:
		return one(OK, "stack", "", "the local stack, running at %s", p.BaseURL)
	case p.StackError != nil:
		return one(Fail, "stack", "deploy it (docs/deploy.md), or check --stack, --region and --profile", "%v", p.StackError)
	case strings.HasSuffix(status, "_IN_PROGRESS"):
		return one(Warn, "stack", "wait for the deployment to end", "%s is %s", p.Stack, status)
	case status == "UPDATE_ROLLBACK_COMPLETE":
		return one(Warn, "stack", "the last update was rolled back; the stack's events say why", "%s is %s", p.Stack, status)
	case !strings.HasSuffix(status, "_COMPLETE") || strings.Contains(status, "ROLLBACK") || strings.HasPrefix(status, "DELETE"):
		return one(Fail, "stack", "look at the stack's events; docs/deploy.md", "%s is %s", p.Stack, status)
	case p.Deployment.Version != p.Version:
		return one(Warn, "stack", "use the parkctl of the deployed version, or deploy this one", "%s is %s, version %s; parkctl is %s", p.Stack, status, orUnknown(p.Deployment.Version), p.Version)
	}
	return one(OK, "stack", "", "%s is %s, version %s", p.Stack, status, p.Version)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func secrets(ctx context.Context, p Patient) []Line {
	set, err := p.Secrets(ctx)
	if err != nil {
		return failed("secrets", err, "allow the profile secretsmanager:GetSecretValue on the three secrets")
	}
	report := secretdoc.Check(set, p.Now())
	found := map[secretdoc.Level]int{}
	for _, f := range report.Findings {
		found[f.Level]++
	}
	detail := strings.Join(report.Facts, "; ")
	switch {
	case report.Failed():
		first := report.Findings[slices.IndexFunc(report.Findings, func(f secretdoc.Finding) bool { return f.Level == secretdoc.Error })]
		return one(Fail, "secrets", "parkctl secret check", "errors: %d, warnings: %d; the first: %s%s: %s", found[secretdoc.Error], found[secretdoc.Warning], first.Secret, first.Field, first.Why)
	case found[secretdoc.Warning] > 0:
		return one(Warn, "secrets", "parkctl secret check", "warnings: %d; %s", found[secretdoc.Warning], detail)
	}
	return one(OK, "secrets", "", "%s", detail)
}

// encryption compares the keys that the secrets are encrypted with to the one that the functions may decrypt with.
func encryption(ctx context.Context, p Patient) []Line {
	if p.Local || p.Status == "" {
		return nil
	}
	allowed := p.Parameters["SecretsKmsKeyArn"]
	client, looked := secretsmanager.NewFromConfig(p.AWS), 0
	for _, name := range append([]string{p.MerchantSecret, p.MerchantKeySecret}, p.VendorsSecrets...) {
		out, err := client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &name})
		if err != nil {
			continue // the check of the secrets has said so, or the profile may not look
		}
		looked++
		key := aws.ToString(out.KmsKeyId)
		if key == "" || strings.HasSuffix(key, "alias/aws/secretsmanager") || key == allowed || allowed != "" && strings.HasSuffix(allowed, "/"+key) {
			continue
		}
		if allowed == "" {
			return one(Fail, "encryption", "deploy with SecretsKmsKeyArn, the ARN of that key", "%s is encrypted with the KMS key %s, and the stack's parameter SecretsKmsKeyArn is empty: no function can read it", name, key)
		}
		return one(Warn, "encryption", "see that both name one key", "%s is encrypted with the KMS key %s, the stack's SecretsKmsKeyArn is %s", name, key, allowed)
	}
	if looked == 0 {
		return one(Warn, "encryption", "allow the profile secretsmanager:DescribeSecret", "the secrets' keys could not be looked at")
	}
	return one(OK, "encryption", "", "the functions may decrypt what %d secrets are encrypted with", looked)
}

// backlog is from how many waiting events on somebody should look.
const backlog = 1000

// oldEvent is from which age on somebody should look: every event is tried within seconds, and the retries of one are new
// messages.
const oldEvent = 15 * time.Minute

func queue(ctx context.Context, p Patient) []Line {
	if p.EventsQueueURL == "" || p.DeadLetterQueueURL == "" {
		return one(Fail, "events queue", "deploy the stack", "the queues are not known: the stack has no outputs EventsQueueUrl and EventsDeadLetterQueueUrl")
	}
	client := sqs.NewFromConfig(p.AWS)
	waiting, err := depth(ctx, client, p.EventsQueueURL)
	if err != nil {
		return failed("events queue", err, "allow the profile sqs:GetQueueAttributes, or deploy the stack again")
	}
	line := Line{OK, "events queue", fmt.Sprintf("%d waiting, %d in delivery, %d for a later try", waiting.visible, waiting.inFlight, waiting.delayed), ""}
	if age, known := oldest(ctx, p); known {
		line.Detail += fmt.Sprintf(", the oldest %s", age)
		if age > oldEvent {
			line.Status, line.Do = Warn, "see whether eventdelivery fails or is throttled: docs/runbook.md"
		}
	}
	if waiting.visible > backlog {
		line.Status, line.Do = Warn, "see whether eventdelivery keeps up: docs/runbook.md (DeliveryMaximumConcurrency)"
	}
	dead, err := depth(ctx, client, p.DeadLetterQueueURL)
	if err != nil {
		return append([]Line{line}, failed("dead letters", err, "allow the profile sqs:GetQueueAttributes")...)
	}
	if total := dead.visible + dead.inFlight + dead.delayed; total > 0 {
		return append([]Line{line}, Line{Warn, "dead letters", fmt.Sprintf("%d events could not be delivered", total), "parkctl events list says why; then parkctl events replay or drop"})
	}
	return append([]Line{line}, Line{OK, "dead letters", "none", ""})
}

type counts struct{ visible, inFlight, delayed int }

func depth(ctx context.Context, client *sqs.Client, url string) (counts, error) {
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
	})
	if err != nil {
		return counts{}, err
	}
	number := func(name sqstypes.QueueAttributeName) int {
		n, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return 0
		}
		return n
	}
	return counts{
		number(sqstypes.QueueAttributeNameApproximateNumberOfMessages), number(sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
		number(sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed),
	}, nil
}

// oldest returns the age of the oldest waiting event, where CloudWatch knows one: SQS itself does not tell.
func oldest(ctx context.Context, p Patient) (time.Duration, bool) {
	name := p.EventsQueueURL[strings.LastIndexByte(p.EventsQueueURL, '/')+1:]
	now := p.Now()
	out, err := cloudwatch.NewFromConfig(p.AWS).GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("AWS/SQS"), MetricName: aws.String("ApproximateAgeOfOldestMessage"), StartTime: aws.Time(now.Add(-10 * time.Minute)),
		EndTime: &now, Period: aws.Int32(60), Statistics: []cloudwatchtypes.Statistic{cloudwatchtypes.StatisticMaximum},
		Dimensions: []cloudwatchtypes.Dimension{{Name: aws.String("QueueName"), Value: &name}},
	})
	if err != nil || len(out.Datapoints) == 0 {
		return 0, false
	}
	latest := slices.MaxFunc(out.Datapoints, func(a, b cloudwatchtypes.Datapoint) int {
		return aws.ToTime(a.Timestamp).Compare(aws.ToTime(b.Timestamp))
	})
	return time.Duration(aws.ToFloat64(latest.Maximum)) * time.Second, true
}

func table(ctx context.Context, p Patient) []Line {
	if p.Table == "" {
		return one(Fail, "table", "deploy the stack", "the table is not known: the stack has no output IdempotencyTableName")
	}
	client := dynamodb.NewFromConfig(p.AWS)
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &p.Table})
	if err != nil {
		return failed("table", err, "allow the profile dynamodb:DescribeTable, or deploy the stack again")
	}
	if out.Table.TableStatus != dynamodbtypes.TableStatusActive && out.Table.TableStatus != dynamodbtypes.TableStatusUpdating {
		return one(Fail, "table", "wait, or deploy the stack again", "%s is %s", p.Table, out.Table.TableStatus)
	}
	ttl, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &p.Table})
	if err == nil && (ttl.TimeToLiveDescription == nil || ttl.TimeToLiveDescription.TimeToLiveStatus != dynamodbtypes.TimeToLiveStatusEnabled) {
		return one(Warn, "table", "deploy the stack again: without it the table grows for ever", "%s is ACTIVE; its time to live is off", p.Table)
	}
	return one(OK, "table", "", "%s is %s, about %d items", p.Table, out.Table.TableStatus, aws.ToInt64(out.Table.ItemCount))
}

func icp(_ context.Context, p Patient) []Line {
	if !p.China() {
		return nil
	}
	if p.Local {
		return one(OK, "ICP", "", "not needed on this machine; in AWS China no route is served without the ICP licence (备案) of the account")
	}
	return one(Warn, "ICP", "have the account's ICP filing (备案) confirmed before anything else; docs/deploy.md, step 0",
		"AWS China serves no API, execute-api addresses included, before the account is tied to a valid ICP licence; this cannot be asked by an API")
}

// address asks for a path that the gateway has not: API Gateway itself answers, and no function runs.
func address(ctx context.Context, p Patient) []Line {
	if p.BaseURL == "" {
		return one(Fail, "address", "deploy the stack", "the gateway's address is not known: the stack has no output ApiUrl")
	}
	answer, err := get(ctx, p.HTTP, p.BaseURL+"/")
	switch {
	case err != nil:
		return one(Fail, "address", "check DNS, the custom domain and the network from here", "%s: %v", p.BaseURL, err)
	case answer.StatusCode == http.StatusForbidden && p.China():
		return one(Fail, "address", "this is how AWS China refuses an account without an ICP licence (备案)", "%s answers 403", p.BaseURL)
	case answer.StatusCode >= 500:
		return one(Fail, "address", "docs/runbook.md", "%s answers %d", p.BaseURL, answer.StatusCode)
	}
	return one(OK, "address", "", "%s answers", p.BaseURL)
}

func weChatPay(ctx context.Context, p Patient) []Line {
	if p.WeChatPayURL == "" {
		return one(Warn, "WeChat Pay", "deploy the stack", "its address is not known: the stack has no parameter WeChatPayBaseUrl")
	}
	answer, err := get(ctx, p.HTTP, p.WeChatPayURL+"/")
	if err != nil {
		return one(Warn, "WeChat Pay", "if the functions run in a VPC, check its route to the internet; from here it may be blocked without harm", "%s is not reached from this machine: %v", p.WeChatPayURL, err)
	}
	lines := one(OK, "WeChat Pay", "", "%s answers", p.WeChatPayURL)
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		lines = append(lines, skew("clock", "WeChat Pay", p.Now().Sub(date)))
	}
	return lines
}

func clock(_ context.Context, p Patient) []Line {
	if p.ServerTime.IsZero() {
		return one(Warn, "clock", "", "AWS's clock is not known")
	}
	return []Line{skew("clock", "AWS", p.At.Sub(p.ServerTime))}
}

// How far this machine's clock may be off: signatures are refused from five minutes on.
const (
	skewWarn = 30 * time.Second
	skewFail = 4 * time.Minute
)

func skew(what, whose string, off time.Duration) Line {
	off = off.Round(time.Second)
	line := Line{Status: OK, What: what, Detail: fmt.Sprintf("%s off %s's", off, whose)}
	switch {
	case off.Abs() > skewFail:
		line.Status, line.Do = Fail, "set this machine's clock by NTP: signatures that are five minutes off are refused"
	case off.Abs() > skewWarn:
		line.Status, line.Do = Warn, "set this machine's clock by NTP"
	}
	return line
}

func get(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "parkctl")
	answer, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	return answer, answer.Body.Close()
}

// maxNames is how many alarms one call takes.
const maxNames = 100

func alarms(ctx context.Context, p Patient) []Line {
	if p.Local {
		return one(OK, "alarms", "", "the local stack has none")
	}
	names, err := p.Resources(ctx, "AWS::CloudWatch::Alarm")
	if err != nil {
		return failed("alarms", err, "allow the profile cloudformation:ListStackResources")
	}
	if len(names) == 0 {
		return one(Warn, "alarms", "deploy the stack", "the stack has no alarms")
	}
	var lines []Line
	client := cloudwatch.NewFromConfig(p.AWS)
	for some := range slices.Chunk(names, maxNames) {
		out, err := client.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: some, MaxRecords: aws.Int32(maxNames)})
		if err != nil {
			return failed("alarms", err, "allow the profile cloudwatch:DescribeAlarms")
		}
		for _, alarm := range out.MetricAlarms {
			if alarm.StateValue == cloudwatchtypes.StateValueAlarm {
				lines = append(lines, Line{Fail, "alarm", fmt.Sprintf("%s since %s", aws.ToString(alarm.AlarmName), aws.ToTime(alarm.StateUpdatedTimestamp).Format(time.RFC3339)), "docs/runbook.md has an entry for each"})
			}
		}
	}
	if lines == nil {
		return one(OK, "alarms", "", "%d, none in ALARM", len(names))
	}
	return lines
}
