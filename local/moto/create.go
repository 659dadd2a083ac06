package moto

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"wechat-parking-gateway/local/samtemplate"
)

// Create makes the template's queues and tables, named after v.StackName and their logical ids, and returns them as
// Values.Physical wants them. v.Physical is neither used nor changed.
func (s *Server) Create(ctx context.Context, t *samtemplate.Template, v samtemplate.Values) (map[string]samtemplate.Physical, error) {
	queues, err := t.Queues(v)
	if err != nil {
		return nil, err
	}
	tables, err := t.Tables(v)
	if err != nil {
		return nil, err
	}
	made := map[string]samtemplate.Physical{}
	sqsClient, dynamodbClient := sqs.NewFromConfig(s.Config()), dynamodb.NewFromConfig(s.Config())
	for _, q := range queues {
		if made[q.LogicalID], err = createQueue(ctx, sqsClient, v.StackName+"-"+q.LogicalID, q, made[q.DeadLetterQueue]); err != nil {
			return nil, fmt.Errorf("create queue %s: %w", q.LogicalID, err)
		}
	}
	for _, table := range tables {
		if made[table.LogicalID], err = createTable(ctx, dynamodbClient, v.StackName+"-"+table.LogicalID, table); err != nil {
			return nil, fmt.Errorf("create table %s: %w", table.LogicalID, err)
		}
	}
	return made, nil
}

func createQueue(ctx context.Context, client *sqs.Client, name string, q samtemplate.Queue, dead samtemplate.Physical) (samtemplate.Physical, error) {
	attributes := maps.Clone(q.Attributes)
	if q.DeadLetterQueue != "" {
		policy, err := json.Marshal(map[string]string{
			"deadLetterTargetArn": dead.Attributes["Arn"], "maxReceiveCount": strconv.Itoa(q.MaxReceiveCount),
		})
		if err != nil {
			return samtemplate.Physical{}, err
		}
		attributes[string(sqstypes.QueueAttributeNameRedrivePolicy)] = string(policy)
	}
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		return samtemplate.Physical{}, err
	}
	arn := sqstypes.QueueAttributeNameQueueArn
	got, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: queue.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{arn},
	})
	if err != nil {
		return samtemplate.Physical{}, err
	}
	return samtemplate.Physical{
		Ref:        aws.ToString(queue.QueueUrl),
		Attributes: map[string]string{"Arn": got.Attributes[string(arn)], "QueueName": name},
	}, nil
}

func createTable(ctx context.Context, client *dynamodb.Client, name string, t samtemplate.Table) (samtemplate.Physical, error) {
	table, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &name,
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{
			AttributeName: &t.HashKey, AttributeType: dynamodbtypes.ScalarAttributeType(t.HashKeyType),
		}},
		KeySchema:        []dynamodbtypes.KeySchemaElement{{AttributeName: &t.HashKey, KeyType: dynamodbtypes.KeyTypeHash}},
		BillingMode:      dynamodbtypes.BillingMode(t.BillingMode),
		SSESpecification: &dynamodbtypes.SSESpecification{Enabled: &t.Encrypted},
	})
	if err != nil {
		return samtemplate.Physical{}, err
	}
	if t.TTLAttribute != "" {
		if _, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
			TableName: &name,
			TimeToLiveSpecification: &dynamodbtypes.TimeToLiveSpecification{
				AttributeName: &t.TTLAttribute, Enabled: aws.Bool(true),
			},
		}); err != nil {
			return samtemplate.Physical{}, err
		}
	}
	if t.PointInTimeRecovery {
		if _, err := client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
			TableName: &name,
			PointInTimeRecoverySpecification: &dynamodbtypes.PointInTimeRecoverySpecification{
				PointInTimeRecoveryEnabled: aws.Bool(true),
			},
		}); err != nil {
			return samtemplate.Physical{}, err
		}
	}
	return samtemplate.Physical{Ref: name, Attributes: map[string]string{"Arn": aws.ToString(table.TableDescription.TableArn)}}, nil
}
