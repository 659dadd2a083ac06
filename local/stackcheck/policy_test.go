//go:build validate

package stackcheck

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"wechat-parking-gateway/local/awscalls"
)

// statement is one of a role's, in its own policies and in those that are attached to it.
type statement struct {
	effect             string
	actions, resources []string
	condition          any
}

// statements returns what a role may do, and the policies that cannot be judged here.
func (s *stack) statements(role string) (all []statement, foreign []string) {
	documents := []any{}
	for _, p := range listed(s.property(role, "Policies")) {
		if at(p, "PolicyName") == nil {
			foreign = append(foreign, "one without a name")
		}
		documents = append(documents, at(p, "PolicyDocument"))
	}
	for _, attached := range words(s.property(role, "ManagedPolicyArns")) {
		id := strings.Trim(attached, "<>")
		if s.resources[id].Type != "AWS::IAM::ManagedPolicy" {
			foreign = append(foreign, attached)
			continue
		}
		documents = append(documents, s.property(id, "PolicyDocument"))
	}
	for _, d := range documents {
		if at(d, "Version") != "2012-10-17" {
			foreign = append(foreign, "one in the language of 2008")
		}
		for _, item := range listed(at(d, "Statement")) {
			all = append(all, statement{
				effect: fmt.Sprint(at(item, "Effect")), actions: words(at(item, "Action")), resources: words(at(item, "Resource")),
				condition: at(item, "Condition"),
			})
		}
	}
	return all, foreign
}

// keys returns the patterns of hash keys that a statement about DynamoDB is narrowed to.
func (st statement) keys() []string {
	return words(at(st.condition, "ForAllValues:StringLike", "dynamodb:LeadingKeys"))
}

// grants returns one line for each action on each resource, with its condition. DynamoDB's keys are apart.
func grants(statements []statement) []string {
	var lines []string
	for _, st := range statements {
		condition := ""
		if st.condition != nil && len(st.keys()) == 0 {
			b, _ := json.Marshal(st.condition)
			condition = " if " + string(b)
		}
		for _, action := range st.actions {
			for _, resource := range st.resources {
				lines = append(lines, st.effect+" "+action+" on "+resource+condition)
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// arns returns what a resource of testdata/aws_calls.json is called in policies.
func (s *stack) arns(resource string) []string {
	secret := func(name string) string {
		return fmt.Sprintf("arn:%s:secretsmanager:%s:%s:secret:%s-??????", s.values.Partition, s.values.Region, account, name)
	}
	switch resource {
	case "MerchantSecretName":
		return []string{secret(s.parameter(resource, "wechat-parking/merchant"))}
	case "MerchantKeySecretName":
		return []string{secret(s.parameter(resource, "wechat-parking/merchant-key"))}
	case "VendorsSecretNames":
		// Four names at the most. One that is not given is empty, and such an ARN is nobody's.
		names := strings.Split(s.parameter(resource, "wechat-parking/vendors")+",,,", ",")[:4]
		arns := make([]string, len(names))
		for i, name := range names {
			arns[i] = secret(name)
		}
		return arns
	}
	return []string{"<" + resource + ".Arn>"}
}

// byLambda returns what Lambda does itself with a function's role, as statements.
func (s *stack) byLambda(function string, f *facts) []statement {
	var all []statement
	for _, c := range f.byLambda {
		if !slices.Contains(c.Functions, "*") && !slices.Contains(c.Functions, function) {
			continue
		}
		on := map[string]bool{"always": true, "X-Ray": !s.china(), "subnets": s.has("SubnetIds"), "secrets key": s.has("SecretsKmsKeyArn")}
		holds, known := on[c.When]
		if !known {
			all = append(all, statement{effect: "unknown condition " + c.When, actions: c.Actions, resources: []string{""}})
		}
		if !holds {
			continue
		}
		st := statement{effect: "Allow", actions: c.Actions}
		switch c.Resource {
		case "*":
			st.resources = []string{"*"}
		case "own log group":
			st.resources = []string{"<" + function + "Logs.Arn>"}
		case "any of EC2 in the account and region":
			st.resources = []string{fmt.Sprintf("arn:%s:ec2:%s:%s:*/*", s.values.Partition, s.values.Region, account)}
		case "SecretsKmsKeyArn":
			st.resources = []string{s.parameters[c.Resource]}
			st.condition = map[string]any{"StringEquals": map[string]any{
				"kms:ViaService": []string{
					"secretsmanager." + s.values.Region + ".amazonaws.com", "secretsmanager." + s.values.Region + ".amazonaws.com.cn",
				},
			}}
		default:
			st.resources = s.arns(c.Resource)
		}
		all = append(all, st)
		if c.When == "subnets" { // and the function's own code may not
			st.effect, st.resources = "Deny", []string{"*"}
			st.condition = map[string]any{"ArnLike": map[string]any{
				"lambda:SourceFunctionArn": fmt.Sprintf("arn:%s:lambda:%s:%s:function:*", s.values.Partition, s.values.Region, account),
			}}
			all = append(all, st)
		}
	}
	return all
}

// checkPermissions: a function's role may do what was recorded of the function and what Lambda does with the role, all of
// it and nothing else.
func checkPermissions(s *stack, f *facts) []string {
	var b breaches
	for _, name := range s.functions() {
		want := s.byLambda(name, f)
		for _, c := range f.calls[name] {
			want = append(want, statement{effect: "Allow", actions: []string{c.Action}, resources: s.arns(c.Resource)})
		}
		got, foreign := s.statements(name + "Role")
		if len(foreign) > 0 {
			b.add("%sRole: policies that cannot be judged: %v", name, foreign)
		}
		b.equal(name+"Role: what it may do and what was recorded", grants(got), grants(want))
		b = append(b, checkKeys(name+"Role", got, f.calls[name])...)
	}
	for name := range f.calls {
		if f.settings[folder(name)] == nil {
			b.add("calls of %s were recorded, which is no function", name)
		}
	}
	for _, policy := range s.ofType("AWS::IAM::ManagedPolicy") {
		if !slices.ContainsFunc(s.ofType("AWS::IAM::Role"), func(role string) bool {
			return slices.Contains(words(s.property(role, "ManagedPolicyArns")), "<"+policy+">")
		}) {
			b.add("%s is attached to no role", policy)
		}
	}
	want := []statement{
		{effect: "Allow", actions: []string{"cloudwatch:DescribeAlarms"}, resources: []string{
			fmt.Sprintf("arn:%s:cloudwatch:%s:%s:alarm:*", s.values.Partition, s.values.Region, account),
		}},
	}
	for _, name := range s.functions() {
		want = append(want, statement{
			effect:    "Allow",
			actions:   []string{"lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"},
			resources: []string{"<" + name + "Function.Arn>", "<" + name + "Function.Arn>:*"},
		})
	}
	got, foreign := s.statements("DeploymentRole")
	if len(foreign) > 0 {
		b.add("DeploymentRole: policies that cannot be judged: %v", foreign)
	}
	b.equal("DeploymentRole: what it may do", grants(got), grants(want))
	return b
}

// checkKeys: a statement about DynamoDB names the hash keys that were recorded with its actions, and no others.
func checkKeys(role string, statements []statement, calls []awscalls.Call) []string {
	var b breaches
	recorded := func(st statement, fits func(awscalls.Call) bool) bool {
		return slices.ContainsFunc(calls, func(c awscalls.Call) bool {
			return slices.Contains(st.actions, c.Action) && slices.Contains(st.keys(), c.Key) && fits(c)
		})
	}
	for _, st := range statements {
		if len(st.actions) == 0 || !strings.HasPrefix(st.actions[0], "dynamodb:") {
			continue
		}
		if len(st.keys()) == 0 {
			b.add("%s: %v on any key", role, st.actions)
		}
		for _, action := range st.actions {
			if !recorded(st, func(c awscalls.Call) bool { return c.Action == action }) {
				b.add("%s: %s on %v was not recorded", role, action, st.keys())
			}
		}
		for _, key := range st.keys() {
			if !recorded(st, func(c awscalls.Call) bool { return c.Key == key }) {
				b.add("%s: the key %s was not recorded with %v", role, key, st.actions)
			}
		}
	}
	for _, c := range calls {
		if strings.HasPrefix(c.Action, "dynamodb:") && !slices.ContainsFunc(statements, func(st statement) bool {
			return slices.Contains(st.actions, c.Action) && slices.Contains(st.keys(), c.Key)
		}) {
			b.add("%s: %s on the key %s was recorded and is not allowed", role, c.Action, c.Key)
		}
	}
	return b
}

func checkTrust(s *stack, _ *facts) []string {
	var b breaches
	want := []string{"DeploymentRole"}
	for _, name := range s.functions() {
		want = append(want, name+"Role")
	}
	slices.Sort(want)
	b.equal("roles", s.ofType("AWS::IAM::Role"), want)
	for _, role := range s.ofType("AWS::IAM::Role") {
		principals := any("lambda.amazonaws.com")
		if role == "DeploymentRole" {
			principals = []any{"codedeploy.amazonaws.com", "codedeploy." + s.values.Region + "." + s.values.URLSuffix}
		}
		b.equal(role, s.property(role, "AssumeRolePolicyDocument"), any(map[string]any{
			"Version": "2012-10-17",
			"Statement": []any{map[string]any{
				"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": map[string]any{"Service": principals},
			}},
		}))
	}
	return b
}

// wide are the resources with a * in policies, and why there is nothing smaller.
var wide = map[string]string{
	"xray:PutTraceSegments on *":                           "X-Ray has no resources for it",
	"xray:PutTelemetryRecords on *":                        "X-Ray has no resources for it",
	"ec2:DescribeNetworkInterfaces on *":                   "EC2 has no resources for what describes",
	"ec2:DescribeSubnets on *":                             "EC2 has no resources for what describes",
	"ec2:CreateNetworkInterface on ec2 */*":                "Lambda asks for any resource of the account and region, before the interface exists",
	"ec2:DeleteNetworkInterface on ec2 */*":                "Lambda asks for any resource of the account and region",
	"ec2:AssignPrivateIpAddresses on ec2 */*":              "the same interfaces, whose ids are not known",
	"ec2:UnassignPrivateIpAddresses on ec2 */*":            "the same interfaces, whose ids are not known",
	"cloudwatch:DescribeAlarms on cloudwatch alarm:*":      "CloudWatch describes an account's alarms, not one",
	"lambda:GetAlias on function:*":                        "a version's number is not known before it is published",
	"lambda:UpdateAlias on function:*":                     "a version's number is not known before it is published",
	"lambda:GetProvisionedConcurrencyConfig on function:*": "a version's number is not known before it is published",
}

func checkWildcards(s *stack, _ *facts) []string {
	var b breaches
	for _, role := range s.ofType("AWS::IAM::Role") {
		all, _ := s.statements(role)
		for _, st := range all {
			if st.effect != "Allow" {
				continue // a refusal cannot be too wide
			}
			for _, action := range st.actions {
				if strings.Contains(action, "*") {
					b.add("%s: action %s", role, action)
				}
				for _, resource := range st.resources {
					if strings.Contains(resource, "*") && wide[narrowed(action, resource)] == "" {
						b.add("%s: %s, which has no written reason", role, narrowed(action, resource))
					}
				}
			}
		}
	}
	return b
}

// narrowed names a wide resource without the account, as wide does.
func narrowed(action, resource string) string {
	if strings.HasSuffix(resource, "Function.Arn>:*") {
		resource = "function:*"
	}
	if parts := strings.SplitN(resource, ":", 6); len(parts) == 6 {
		resource = parts[2] + " " + parts[5]
	}
	return action + " on " + resource
}
