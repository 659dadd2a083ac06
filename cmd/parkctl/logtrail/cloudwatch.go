package logtrail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

// API is the part of the CloudWatch Logs client that is used; *cloudwatchlogs.Client has it.
type API interface {
	DescribeLogGroups(context.Context, *cloudwatchlogs.DescribeLogGroupsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeLogGroupsOutput, error)
	FilterLogEvents(context.Context, *cloudwatchlogs.FilterLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error)
}

// ErrNoLogGroups says that a stack has no log groups, or that they are not to be seen.
var ErrNoLogGroups = errors.New("the stack has no log groups")

// CloudWatch is where a deployed stack logs: a log group a function, /aws/lambda/<stack>/<function>.
type CloudWatch struct {
	API   API
	Stack string
}

// maxTerms is how many ids go into one filter pattern, which may have 1024 characters.
const maxTerms = 16

// Find asks each of the stack's log groups. Only the lines in which an id stands leave CloudWatch.
func (c CloudWatch) Find(ctx context.Context, since time.Time, ids []string) ([]Line, error) {
	groups, err := c.groups(ctx)
	if err != nil {
		return nil, err
	}
	var found []Line
	for _, group := range groups {
		for some := range slices.Chunk(ids, maxTerms) {
			lines, err := c.filter(ctx, group, since, some)
			if err != nil {
				return nil, err
			}
			found = append(found, lines...)
		}
	}
	return found, nil
}

func (c CloudWatch) prefix() string { return "/aws/lambda/" + c.Stack + "/" }

func (c CloudWatch) groups(ctx context.Context) (names []string, err error) {
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(c.API, &cloudwatchlogs.DescribeLogGroupsInput{
		LogGroupNamePrefix: aws.String(c.prefix()),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the log groups %s*: %w", c.prefix(), err)
		}
		for _, g := range page.LogGroups {
			names = append(names, aws.ToString(g.LogGroupName))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w named %s*; check --stack, --region and --profile", ErrNoLogGroups, c.prefix())
	}
	return names, nil
}

func (c CloudWatch) filter(ctx context.Context, group string, since time.Time, ids []string) ([]Line, error) {
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(c.API, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: &group, StartTime: aws.Int64(since.UnixMilli()), FilterPattern: aws.String(pattern(ids)),
	})
	var found []Line
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("searching the log group %s: %w", group, err)
		}
		for _, e := range page.Events {
			text := aws.ToString(e.Message)
			if !holdsAny(text, ids) {
				continue
			}
			if l, ok := parse(strings.TrimPrefix(group, c.prefix()), strings.TrimSpace(text)); ok {
				found = append(found, l)
			}
		}
	}
	return found, nil
}

// pattern matches lines in which one of the ids stands. A line of JSON is matched by terms as any other text is.
func pattern(ids []string) string {
	if len(ids) == 1 {
		return `"` + ids[0] + `"`
	}
	return `?"` + strings.Join(ids, `" ?"`) + `"`
}
