"""Tests of the check's own judgement: the project's template is deployed, and each row changes one thing behind its back."""

import json
import unittest
import urllib.request
from pathlib import Path

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from expand_template import NoManagedPolicies, upload

from . import intrinsics, lacks
from .aws import Refused, fit
from .documentation import commands
from .emulator import Emulator
from .judge import Wrong, differences, judge, leftovers

TEMPLATE = Path(__file__).parents[3] / "template.yaml"
STACK = "gateway"


def template():
    """Return the project's template, with an archive in place of the folder."""
    parsed = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    upload(parsed)
    return parsed


class Account(unittest.TestCase):
    """An emulated region, with an archive for the functions."""

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator("ap-southeast-1").__enter__()
        cls.addClassCleanup(cls.emulator.__exit__)
        cls.aws = cls.emulator.aws
        # One process has one moto: what another test class left goes first.
        cls.reset()

    @classmethod
    def reset(cls):
        urllib.request.urlopen(urllib.request.Request(f"{cls.emulator.endpoint}/moto-api/reset", method="POST")).read()
        cls.aws.call(
            "s3", "create_bucket", Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "ap-southeast-1"}
        )
        cls.aws.call("s3", "put_object", Bucket="bucket", Key="key", Body=b"archive")

    @classmethod
    def deploy(cls, parsed, stack=STACK, kind="CREATE", **parameters):
        """Deploy, and return the stack's status and events."""
        cloudformation = cls.aws.client("cloudformation")
        change_set = cloudformation.create_change_set(
            StackName=stack,
            ChangeSetName="change",
            ChangeSetType=kind,
            TemplateBody=json.dumps(parsed),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        )
        cloudformation.execute_change_set(ChangeSetName=change_set["Id"])
        events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"], events

    @classmethod
    def physical(cls, stack=STACK):
        resources = cls.aws.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources}


class Judgement(Account):
    """What the judge says of the project's stack after one change."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        status, _ = cls.deploy(template())
        if status != "CREATE_COMPLETE":
            raise AssertionError(status)
        cls.ids = cls.physical()
        cls.expanded = transform(template(), {}, NoManagedPolicies())
        cls.values = intrinsics.parameters(cls.expanded, {})
        cls.id = cls.aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["StackId"]

    def judge(self, listed=lacks.LACKS):
        return judge(self.aws, STACK, self.id, self.expanded, self.values, self.ids, listed)

    def test_as_it_is(self):
        report = self.judge()
        self.assertEqual(report.problems, [])
        self.assertEqual(report.asked, report.found)
        self.assertGreater(report.properties, 300)

    def test_one_change(self):
        ids, call = self.ids, self.aws.call
        role, table, api = ids["ParkingSyncRole"], ids["IdempotencyTable"], ids["HttpApi"]

        def environment():
            function = ids["ParkingSyncFunction"]
            held = call("lambda", "get_function_configuration", FunctionName=function)["Environment"]["Variables"]
            held.pop("IDEMPOTENCY_TABLE")
            call("lambda", "update_function_configuration", FunctionName=function, Environment={"Variables": held})

        def setting_added():
            function = ids["VehicleNotifyFunction"]
            held = call("lambda", "get_function_configuration", FunctionName=function)["Environment"]["Variables"]
            held["WEBHOOK_ALLOW_LOOPBACK"] = "true"
            call("lambda", "update_function_configuration", FunctionName=function, Environment={"Variables": held})

        def policy_line():
            document = call("iam", "get_role_policy", RoleName=role, PolicyName="parkingsync")["PolicyDocument"]
            document["Statement"].pop()
            call("iam", "put_role_policy", RoleName=role, PolicyName="parkingsync", PolicyDocument=document)

        def route():
            found = self.aws.pages("apigatewayv2", "get_routes", "Items", ApiId=api)
            gone = next(r for r in found if r["RouteKey"] == "POST /v1/callbacks/businesscircle")
            call("apigatewayv2", "delete_route", ApiId=api, RouteId=gone["RouteId"])

        def alarm(**change):
            held = call("cloudwatch", "describe_alarms", AlarmNames=[ids["FunctionErrorsAlarm"]])["MetricAlarms"][0]
            model = self.aws.client("cloudwatch").meta.service_model.operation_model("PutMetricAlarm").input_shape
            kept = {k: v for k, v in held.items() if k in model.members and v not in ([], None)}
            call("cloudwatch", "put_metric_alarm", {**kept, **change})

        rows = [
            (
                "memory",
                lambda: call(
                    "lambda",
                    "update_function_configuration",
                    FunctionName=ids["NotifyCallbackFunction"],
                    MemorySize=128,
                ),
                "MemorySize is 128",
            ),
            (
                "timeout",
                lambda: call(
                    "lambda", "update_function_configuration", FunctionName=ids["NotifyCallbackFunction"], Timeout=900
                ),
                "Timeout is 900",
            ),
            (
                "code",
                lambda: call(
                    "lambda", "update_function_code", FunctionName=ids["EventDeliveryFunction"], ZipFile=b"other"
                ),
                "CodeSha256 is",
            ),
            (
                "role",
                lambda: call(
                    "lambda",
                    "update_function_configuration",
                    FunctionName=ids["EventDeliveryFunction"],
                    Role=f"arn:aws:iam::123456789012:role/{role}",
                ),
                "EventDeliveryFunction: Role is",
            ),
            ("setting gone", environment, "Environment.Variables.IDEMPOTENCY_TABLE is absent"),
            ("setting added", setting_added, 'WEBHOOK_ALLOW_LOOPBACK is "true", and nobody asked for it'),
            (
                "alias",
                lambda: call(
                    "lambda",
                    "update_alias",
                    FunctionName=ids["ParkingSyncFunction"],
                    Name="live",
                    FunctionVersion="$LATEST",
                ),
                'FunctionVersion is "$LATEST"',
            ),
            (
                "event source",
                lambda: call(
                    "lambda", "update_event_source_mapping", UUID=ids["EventDeliveryFunctionQueue"], BatchSize=1
                ),
                "BatchSize is 1",
            ),
            (
                "permission",
                lambda: call(
                    "lambda",
                    "remove_permission",
                    FunctionName=ids["ParkingSyncFunction"],
                    Qualifier="live",
                    StatementId=ids["ParkingSyncFunctionParkingsPermission"],
                ),
                "there is no such AWS::Lambda::Permission",
            ),
            ("policy line", policy_line, "Policies"),
            (
                "policy attached",
                lambda: call(
                    "iam", "attach_role_policy", RoleName=role, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
                ),
                "AdministratorAccess",
            ),
            ("route", route, "POST /v1/callbacks/businesscircle is null"),
            (
                "time to live",
                lambda: call(
                    "dynamodb",
                    "update_time_to_live",
                    TableName=table,
                    TimeToLiveSpecification={"AttributeName": "expires_at", "Enabled": False},
                ),
                "TimeToLiveSpecification",
            ),
            (
                "recovery",
                lambda: call(
                    "dynamodb",
                    "update_continuous_backups",
                    TableName=table,
                    PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
                ),
                "PointInTimeRecoveryEnabled",
            ),
            (
                "encryption of the queue",
                lambda: call(
                    "sqs",
                    "set_queue_attributes",
                    QueueUrl=ids["EventsQueue"],
                    Attributes={"SqsManagedSseEnabled": "false"},
                ),
                "SqsManagedSseEnabled",
            ),
            (
                "redrive",
                lambda: call(
                    "sqs", "set_queue_attributes", QueueUrl=ids["EventsQueue"], Attributes={"RedrivePolicy": ""}
                ),
                "RedrivePolicy",
            ),
            (
                "queue",
                lambda: call("sqs", "delete_queue", QueueUrl=ids["EventsDeadLetterQueue"]),
                "there is no such AWS::SQS::Queue",
            ),
            (
                "retention",
                lambda: call("logs", "put_retention_policy", logGroupName=ids["ParkingSyncLogs"], retentionInDays=1),
                "RetentionInDays is 1",
            ),
            (
                "log group",
                lambda: call("logs", "delete_log_group", logGroupName=ids["VehicleNotifyLogs"]),
                "there is no such AWS::Logs::LogGroup",
            ),
            ("alarm's threshold", lambda: alarm(Threshold=12345), "Threshold is 12345"),
            (
                "function",
                lambda: call("lambda", "delete_function", FunctionName=ids["VendorInfoFunction"]),
                "there is no such AWS::Lambda::Function",
            ),
        ]
        before = set(self.judge().problems)
        self.assertEqual(before, set())
        for name, change, want in rows:
            with self.subTest(name):
                change()
                now = set(self.judge().problems)
                self.assertTrue(any(want in p for p in now - before), f"got {sorted(now - before)}, want {want!r}")
                before = now
        self.reset()
        self.deploy(template(), "again")
        self.__class__.ids = self.physical("again")

    def test_list_both_ways(self):
        report = self.judge({"AWS::SQS::Queue": "", "AWS::Lambda::Function.MemorySize": "", **lacks.LACKS})
        for entry in ("AWS::SQS::Queue", "AWS::Lambda::Function.MemorySize"):
            self.assertIn(
                f"{entry} stands in deploycheck/lacks.py, and the emulator has it: take the entry out", report.problems
            )
        report = self.judge({})
        for entry in ("LoggingConfig", "RecursiveLoop"):
            self.assertTrue(any(f": {entry} is null" in p for p in report.problems), report.problems)

    def test_leftovers(self):
        self.aws.call("sqs", "create_queue", QueueName="stray")
        self.assertEqual([i.rsplit("/", 1)[1] for k, i in leftovers(self.aws, set(self.ids.values()))], ["stray"])


class Stacks(Account):
    """What the CloudFormation of this package does, and refuses."""

    QUEUE = {"Type": "AWS::SQS::Queue"}

    def setUp(self):
        self.stack = self.id().rsplit(".", 1)[1].replace("_", "-")

    def create(self, resources, **more):
        return self.deploy({"Resources": resources, **more}, self.stack)

    def update(self, resources, **more):
        return self.deploy({"Resources": resources, **more}, self.stack, "UPDATE")

    def reasons(self, events):
        return " ".join(e.get("ResourceStatusReason", "") for e in events)

    def test_unknown_type(self):
        status, events = self.create({"X": {"Type": "AWS::Athena::WorkGroup", "Properties": {"Name": "x"}}})
        self.assertEqual(status, "ROLLBACK_COMPLETE")
        self.assertIn("AWS::Athena::WorkGroup is not known here", self.reasons(events))

    def test_type_of_another_region(self):
        status, events = self.create({"X": {"Type": "AWS::No::Such"}})
        self.assertEqual(status, "ROLLBACK_COMPLETE")
        self.assertIn("AWS::No::Such is not", self.reasons(events))

    def test_unknown_property(self):
        status, events = self.create({"X": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"BatchSise": 1}}})
        self.assertEqual(status, "ROLLBACK_COMPLETE")
        self.assertIn("has no property BatchSise", self.reasons(events))

    def test_unknown_function(self):
        status, events = self.create({"X": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Cidr": []}}}})
        self.assertIn("Fn::Cidr is not known here", self.reasons(events))

    def test_circle(self):
        other = lambda name: {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": name}}}
        status, events = self.create({"A": other("B"), "B": other("A")})
        self.assertEqual(status, "ROLLBACK_COMPLETE")

    def test_capability(self):
        role = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "named", "AssumeRolePolicyDocument": {}}}
        with self.assertRaisesRegex(Exception, "CAPABILITY_NAMED_IAM"):
            self.create({"R": role})

    def test_failed_update_is_undone(self):
        group = lambda days: {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": "/undone", "RetentionInDays": days},
        }
        self.assertEqual(self.create({"L": group(30)})[0], "CREATE_COMPLETE")
        broken = {"Type": "AWS::Lambda::EventSourceMapping", "DependsOn": ["L", "Q"], "Properties": {"BatchSise": 1}}
        status, _ = self.update({"L": group(60), "Q": self.QUEUE, "B": broken})
        self.assertEqual(status, "UPDATE_ROLLBACK_COMPLETE")
        groups = self.aws.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix="/undone")
        self.assertEqual([g["retentionInDays"] for g in groups], [30])
        self.assertEqual(list(self.physical(self.stack)), ["L"])
        urls = self.aws.pages("sqs", "list_queues", "QueueUrls", QueueNamePrefix=self.stack)
        self.assertEqual(urls, [])

    def test_create_only_property_replaces(self):
        group = lambda name: {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}}
        self.create({"L": group("/replaced/1")})
        self.assertEqual(self.update({"L": group("/replaced/2")})[0], "UPDATE_COMPLETE")
        groups = self.aws.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix="/replaced")
        self.assertEqual([g["logGroupName"] for g in groups], ["/replaced/2"])

    def test_retain(self):
        self.create({"Kept": {**self.QUEUE, "DeletionPolicy": "Retain"}, "Gone": self.QUEUE})
        self.aws.client("cloudformation").delete_stack(StackName=self.stack)
        urls = self.aws.pages("sqs", "list_queues", "QueueUrls", QueueNamePrefix=self.stack)
        self.assertEqual(["Kept" in u for u in urls], [True])

    def test_no_changes(self):
        self.create({"Q": self.QUEUE})
        cloudformation = self.aws.client("cloudformation")
        cloudformation.create_change_set(
            StackName=self.stack, ChangeSetName="same", TemplateBody=json.dumps({"Resources": {"Q": self.QUEUE}})
        )
        found = cloudformation.describe_change_set(StackName=self.stack, ChangeSetName="same")
        self.assertEqual(found["Status"], "FAILED")

    def test_a_version_number_is_not_given_twice(self):
        document = {"Version": "2012-10-17", "Statement": []}
        role = self.aws.call("iam", "create_role", RoleName="r", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        code = {"S3Bucket": "bucket", "S3Key": "key"}
        given = {"FunctionName": "f", "Runtime": "provided.al2023", "Role": role, "Handler": "bootstrap", "Code": code}
        self.aws.call("lambda", "create_function", given)
        numbers = []
        for change in range(3):
            self.aws.call("lambda", "update_function_configuration", FunctionName="f", Description=str(change))
            numbers.append(self.aws.call("lambda", "publish_version", FunctionName="f")["Version"])
            if change == 1:
                self.aws.call("lambda", "delete_function", FunctionName="f", Qualifier="1")
        self.assertEqual(numbers, ["1", "2", "3"])

    def test_parameters(self):
        parameters = {"P": {"Type": "String", "AllowedPattern": "^[a-z]+$", "ConstraintDescription": "lower case"}}
        self.assertEqual(intrinsics.parameters({"Parameters": parameters}, {"P": "a"}), {"P": "a"})
        for given, want in (
            ({}, "must have values"),
            ({"P": "A"}, "lower case"),
            ({"P": "a", "Q": ""}, "do not exist"),
        ):
            with self.subTest(want), self.assertRaisesRegex(intrinsics.TemplateError, want):
                intrinsics.parameters({"Parameters": parameters}, given)

    def test_rules(self):
        rules = {"R": {"Assertions": [{"Assert": {"Fn::Equals": ["a", "b"]}, "AssertDescription": "a is not b"}]}}
        with self.assertRaisesRegex(Exception, "a is not b"):
            self.create({"Q": self.QUEUE}, Rules=rules)


class Values(unittest.TestCase):
    def test_commands_of_a_page(self):
        page = "## One\n```sh\nexport A=b\n# why\ndo this \\\n  --and that   # so\n```\n## Two\n```sh\nnot this\n```\n"
        self.assertEqual([c.split() for c in commands(page, "One")], [["do", "this", "--and", "that"]])
        with self.assertRaisesRegex(Wrong, "no section 'Three'"):
            commands(page, "Three")

    def test_differences(self):
        rows = [
            ("equal", {"A": 1, "B": [{"C": "x"}]}, {"a": "1.0", "b": [{"c": "x"}]}, []),
            ("order", ["a", "b"], ["b", "a"], []),
            ("a document", {"A": True}, '{"A": "true"}', []),
            ("absent", {"A": 1}, {}, ["p.A is absent, not 1"]),
            ("nothing", "x", None, ['p is null, not "x"']),
            ("other", 1, 2, ["p is 2, not 1"]),
            ("added", {}, {"A": 1}, ["p.A is 1, and nobody asked for it"]),
            ("shorter", ["a"], [], ['p lacks "a"']),
            ("longer", [], ["a"], ['p holds "a", and nobody asked for it']),
            ("false", False, None, ["p is null, not false"]),
        ]
        for name, want, got, problems in rows:
            with self.subTest(name):
                self.assertEqual(list(differences(want, got, "p")), problems)

    def test_fit_refuses_what_the_api_does_not_know(self):
        shape = (
            Emulator("ap-southeast-1").aws.client("sqs").meta.service_model.operation_model("CreateQueue").input_shape
        )
        self.assertEqual(fit(shape, {"queueName": 1}, "p"), {"QueueName": "1"})
        with self.assertRaisesRegex(Refused, "p has no property Queue"):
            fit(shape, {"Queue": 1}, "p")


if __name__ == "__main__":
    unittest.main()
