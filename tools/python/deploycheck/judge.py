"""Say whether an AWS holds what a template asks for, by asking the services.

Of CloudFormation only the physical ids are believed. For each resource of the expanded template the service is asked
what it holds; every property that the template gives must be there with the same value. What is not must stand in the
list of what the emulator lacks, and what stands there must be missing.
"""

import base64
import hashlib
import json
from collections import Counter

from . import intrinsics
from .aws import Lacking
from .cloudformation import pseudo
from .resources import tags


class Wrong(Exception):
    """The check found something. The message says what."""


class Report:
    """What was found."""

    def __init__(self):
        self.asked, self.found = Counter(), Counter()
        self.problems = []
        self.lacking = set()  # the entries of the list that were needed
        self.conditions = {}  # whether each of the template's holds
        self.properties = 0  # compared
        self.wanted = {}  # the types and properties asked for, by logical id


def judge(aws, stack_name, stack_id, template, values, physical, lacks, never_updated=()):
    """Compare what the services hold with an expanded template and its parameters' values.

    physical holds ids by logical id. Of the types in never_updated it is only asked whether they are there.
    """
    report = Report()
    read = {}

    def get_att(logical_id, attribute):
        if logical_id not in read:
            look(logical_id)
        attributes = (read[logical_id] or ({}, {}))[1]
        if attribute not in attributes:
            raise intrinsics.TemplateError(f"{logical_id} has no attribute {attribute} to compare with")
        return attributes[attribute]

    def ref(logical_id):
        if logical_id not in physical:
            raise intrinsics.TemplateError(f"the stack knows no {logical_id}")
        return physical[logical_id]

    evaluator = intrinsics.Evaluator(template, values, pseudo(aws, stack_name, stack_id), ref, get_att)

    def look(logical_id):
        kind = template["Resources"][logical_id]["Type"]
        read[logical_id] = None  # against circles
        asked = TYPES[kind].asked(evaluator.value(template["Resources"][logical_id].get("Properties", {})))
        try:
            read[logical_id] = TYPES[kind].read(aws, ref(logical_id), asked)
        except Lacking:
            pass
        return asked

    report.conditions = {name: evaluator.condition(name) for name in template.get("Conditions", {})}
    for logical_id, resource in template["Resources"].items():
        if not evaluator.exists(resource):
            continue
        kind = resource["Type"]
        report.asked[kind] += 1
        if kind not in TYPES:
            report.problems.append(f"{logical_id}: {kind} is not known here: add it to deploycheck/judge.py")
            continue
        try:
            asked = look(logical_id)
        except intrinsics.TemplateError as e:
            report.problems.append(f"{logical_id}: {e}")
            continue
        report.wanted[logical_id] = (kind, asked)
        if read[logical_id] is None:
            if kind in lacks:
                report.lacking.add(kind)
            else:
                report.problems.append(f"{logical_id}: there is no such {kind}: {physical.get(logical_id)}")
            continue
        if kind in lacks:
            report.problems.append(
                f"{kind} stands in deploycheck/lacks.py, and the emulator has it: take the entry out"
            )
        report.found[kind] += 1
        if kind in never_updated:
            continue
        holds = read[logical_id][0]
        for name, want in asked.items():
            report.properties += 1
            entry = f"{kind}.{name}"
            wrong = list(differences(want, holds.get(name), name))
            if entry not in lacks:
                report.problems += [f"{logical_id}: {w}" for w in wrong]
            elif wrong:
                report.lacking.add(entry)
            elif _says_something(want):
                report.problems.append(
                    f"{entry} stands in deploycheck/lacks.py, and the emulator has it: take the entry out"
                )
    return report


def there(aws, report, physical):
    """Return the logical ids of the resources of an earlier report that are there now."""
    found = set()
    for logical_id, (kind, asked) in report.wanted.items():
        try:
            if TYPES[kind].read(aws, physical[logical_id], asked):
                found.add(logical_id)
        except Lacking:
            pass
    return found


def leftovers(aws, physical_ids):
    """Yield what the services hold and no stack accounts for."""
    for kind, reader in TYPES.items():
        for physical_id in sorted(set(reader.list(aws)) - physical_ids):
            yield kind, physical_id


def differences(want, got, path):
    """Yield a sentence for each difference. Names may differ in case, numbers in form, lists in order."""
    if isinstance(got, str) and isinstance(want, dict):
        got = json.loads(got)
    if isinstance(want, dict) and isinstance(got, dict):
        names = {k.lower(): k for k in got}
        for key, value in want.items():
            if key.lower() not in names:
                yield f"{path}.{key} is absent, not {_short(value)}"
            else:
                yield from differences(value, got[names.pop(key.lower())], f"{path}.{key}")
        for key in names.values():
            if got[key] not in (None, "", [], {}):
                yield f"{path}.{key} is {_short(got[key])}, and nobody asked for it"
    elif isinstance(want, list) and isinstance(got, list):
        left = list(got)
        for i, item in enumerate(want):
            match = next((g for g in left if not any(differences(item, g, path))), None)
            if match is not None:
                left.remove(match)
            elif i < len(got) and got[i] in left and isinstance(item, dict):
                left.remove(got[i])
                yield from differences(item, got[i], f"{path}[{i}]")
            else:
                yield f"{path} lacks {_short(item)}"
        for item in left:
            yield f"{path} holds {_short(item)}, and nobody asked for it"
    elif _plain(want) != _plain(got):
        yield f"{path} is {_short(got)}, not {_short(want)}"


def _says_something(want):
    """Tell a value that could be missed from an empty one, which what is absent equals."""
    if isinstance(want, dict):
        return any(map(_says_something, want.values()))
    return any(map(_says_something, want)) if isinstance(want, list) else bool(want)


def _plain(value):
    """Return a scalar in one form."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, bool) or str(value) in ("true", "false"):
        return str(value).lower()
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _short(value):
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"


class Reader:
    """How a type is read. read returns None, or the properties that the service holds and the attributes that it has."""

    @staticmethod
    def asked(properties):
        """Return properties in the form in which read returns them."""
        if "Tags" in properties:
            properties["Tags"] = tags(properties["Tags"])
        return properties

    @staticmethod
    def list(aws):
        """Return the physical ids of all that there are, for the types of which nothing may be left over."""
        return ()


class Function(Reader):
    @staticmethod
    def asked(properties):
        properties = Reader.asked(properties)
        # Which archive it is, Lambda does not tell: its bytes are compared.
        properties["CodeSha256"] = properties.pop("Code")
        if "KmsKeyArn" in properties:
            properties["KMSKeyArn"] = properties.pop("KmsKeyArn")
        return properties

    @classmethod
    def read(cls, aws, name, asked):
        got = aws.found("lambda", "get_function", FunctionName=name)
        # Of a function that was deleted moto still shows the versions.
        if not got or got["Configuration"]["Version"] != "$LATEST":
            return None
        holds = {**got["Configuration"], "Tags": got.get("Tags", {})}
        holds["ReservedConcurrentExecutions"] = got.get("Concurrency", {}).get("ReservedConcurrentExecutions")
        holds.get("VpcConfig", {}).pop("VpcId", None)
        code = asked["CodeSha256"]
        if isinstance(code, dict):
            asked["CodeSha256"] = cls._sha256(aws, code)
        try:
            loop = aws.call("lambda", "get_function_recursion_config", FunctionName=name)
            holds["RecursiveLoop"] = loop["RecursiveLoop"]
        except Lacking:
            pass
        return holds, {"Arn": holds["FunctionArn"]}

    @staticmethod
    def _sha256(aws, code):
        body = aws.client("s3").get_object(Bucket=code["S3Bucket"], Key=code["S3Key"])["Body"].read()
        return base64.b64encode(hashlib.sha256(body).digest()).decode()

    @staticmethod
    def list(aws):
        return [f["FunctionName"] for f in aws.pages("lambda", "list_functions", "Functions")]


class Version(Reader):
    @staticmethod
    def read(aws, arn, asked):
        name, number = arn.rsplit(":", 2)[-2:]
        got = aws.found("lambda", "get_function_configuration", FunctionName=name, Qualifier=number)
        if not got or got["Version"] != number:
            return None
        return got, {"Version": number, "FunctionArn": arn}


class Alias(Reader):
    @staticmethod
    def read(aws, arn, asked):
        name, alias = arn.rsplit(":", 2)[-2:]
        got = aws.found("lambda", "get_alias", FunctionName=name, Name=alias)
        return got and ({**got, "FunctionName": name}, {"AliasArn": got["AliasArn"]})


class Permission(Reader):
    @staticmethod
    def read(aws, statement_id, asked):
        got = aws.found("lambda", "get_policy", FunctionName=asked["FunctionName"])
        for s in json.loads(got["Policy"])["Statement"] if got else ():
            if s["Sid"] == statement_id:
                principal, condition = s["Principal"], s.get("Condition", {})
                holds = {
                    "Action": s["Action"],
                    "FunctionName": (
                        s["Resource"]
                        if s["Resource"] == asked["FunctionName"]
                        else s["Resource"].split(":function:")[1]
                    ),
                    "Principal": (
                        principal if isinstance(principal, str) else principal.get("Service", principal.get("AWS"))
                    ),
                    "SourceArn": condition.get("ArnLike", {}).get("AWS:SourceArn"),
                    "SourceAccount": condition.get("StringEquals", {}).get("AWS:SourceAccount"),
                }
                return holds, {"Id": statement_id}
        return None


class EventSourceMapping(Reader):
    @staticmethod
    def read(aws, uuid, asked):
        got = aws.found("lambda", "get_event_source_mapping", UUID=uuid)
        if not got:
            return None
        asked_for = asked["FunctionName"]
        holds = {
            **got,
            "FunctionName": (
                got["FunctionArn"] if asked_for == got["FunctionArn"] else got["FunctionArn"].split(":function:")[1]
            ),
        }
        return holds, {"Id": uuid}

    @staticmethod
    def list(aws):
        return [m["UUID"] for m in aws.pages("lambda", "list_event_source_mappings", "EventSourceMappings")]


class HttpApi(Reader):
    @staticmethod
    def asked(properties):
        body = properties.pop("Body")
        # FailOnWarnings is a word to the import, which holds nothing of it.
        properties.pop("FailOnWarnings", None)
        properties["Name"], properties["Version"] = body["info"]["title"], body["info"]["version"]
        properties["Tags"] = {
            **{t["name"]: t["x-amazon-apigateway-tag-value"] for t in body.get("tags", [])},
            **tags(properties.get("Tags", {})),
        }
        for path, methods in body["paths"].items():
            for method, operation in methods.items():
                integration = dict(operation["x-amazon-apigateway-integration"])
                properties[f"{method.upper()} {path}"] = {
                    "IntegrationType": integration.pop("type").upper(),
                    "IntegrationMethod": integration.pop("httpMethod"),
                    "IntegrationUri": integration.pop("uri"),
                    "PayloadFormatVersion": integration.pop("payloadFormatVersion"),
                    "TimeoutInMillis": 30000,
                    **{name[0].upper() + name[1:]: value for name, value in integration.items()},
                }
        properties["Routes"] = sorted(k for k in properties if " /" in k)
        return properties

    @staticmethod
    def read(aws, api_id, asked):
        got = aws.found("apigatewayv2", "get_api", ApiId=api_id)
        if not got:
            return None
        integrations = {
            i["IntegrationId"]: i for i in aws.pages("apigatewayv2", "get_integrations", "Items", ApiId=api_id)
        }
        holds = dict(got)
        routes = aws.pages("apigatewayv2", "get_routes", "Items", ApiId=api_id)
        holds["Routes"] = [r["RouteKey"] for r in routes]
        for route in routes:
            integration = integrations[route["Target"].removeprefix("integrations/")]
            names = (
                "IntegrationType",
                "IntegrationMethod",
                "IntegrationUri",
                "PayloadFormatVersion",
                "TimeoutInMillis",
            )
            held = {n: integration[n] for n in names if n in integration}
            holds[route["RouteKey"]] = {**held, "IntegrationType": held["IntegrationType"].upper()}
        return holds, {"ApiId": api_id, "ApiEndpoint": got["ApiEndpoint"]}

    @staticmethod
    def list(aws):
        return [a["ApiId"] for a in aws.pages("apigatewayv2", "get_apis", "Items")]


class Stage(Reader):
    @staticmethod
    def read(aws, name, asked):
        got = aws.found("apigatewayv2", "get_stage", ApiId=asked["ApiId"], StageName=name)
        return got and ({**got, "ApiId": asked["ApiId"]}, {})


class DomainName(Reader):
    @staticmethod
    def read(aws, name, asked):
        got = aws.found("apigatewayv2", "get_domain_name", DomainName=name)
        return got and (got, {"RegionalDomainName": None, "RegionalHostedZoneId": None})

    @staticmethod
    def list(aws):
        return [d["DomainName"] for d in aws.pages("apigatewayv2", "get_domain_names", "Items")]


class ApiMapping(Reader):
    @staticmethod
    def read(aws, physical_id, asked):
        got = aws.found("apigatewayv2", "get_api_mapping", DomainName=asked["DomainName"], ApiMappingId=physical_id)
        return got and ({**got, "DomainName": asked["DomainName"]}, {})


class Role(Reader):
    @staticmethod
    def read(aws, name, asked):
        got = aws.found("iam", "get_role", RoleName=name)
        if not got:
            return None
        role = got["Role"]
        attached = aws.call("iam", "list_attached_role_policies", RoleName=name)["AttachedPolicies"]
        inline = aws.call("iam", "list_role_policies", RoleName=name)["PolicyNames"]
        holds = {
            **role,
            "Tags": tags(role.get("Tags", [])),
            "ManagedPolicyArns": [p["PolicyArn"] for p in attached],
            "Policies": [
                {
                    "PolicyName": p,
                    "PolicyDocument": aws.call("iam", "get_role_policy", RoleName=name, PolicyName=p)["PolicyDocument"],
                }
                for p in inline
            ],
        }
        # A role has no more than it asked for, also where it asked for nothing.
        asked.setdefault("ManagedPolicyArns", [])
        asked.setdefault("Policies", [])
        return holds, {"Arn": role["Arn"], "RoleId": role["RoleId"]}

    @staticmethod
    def list(aws):
        return [r["RoleName"] for r in aws.pages("iam", "list_roles", "Roles")]


class ManagedPolicy(Reader):
    @staticmethod
    def read(aws, arn, asked):
        got = aws.found("iam", "get_policy", PolicyArn=arn)
        if not got:
            return None
        version = aws.call("iam", "get_policy_version", PolicyArn=arn, VersionId=got["Policy"]["DefaultVersionId"])
        return {**got["Policy"], "PolicyDocument": version["PolicyVersion"]["Document"]}, {"PolicyArn": arn}

    @staticmethod
    def list(aws):
        return [p["Arn"] for p in aws.pages("iam", "list_policies", "Policies", Scope="Local")]


class Table(Reader):
    @staticmethod
    def read(aws, name, asked):
        got = aws.found("dynamodb", "describe_table", TableName=name)
        if not got:
            return None
        table = got["Table"]
        ttl = aws.call("dynamodb", "describe_time_to_live", TableName=name)["TimeToLiveDescription"]
        backups = aws.call("dynamodb", "describe_continuous_backups", TableName=name)["ContinuousBackupsDescription"]
        sse = table.get("SSEDescription", {})
        holds = {
            **table,
            "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode"),
            "TimeToLiveSpecification": {
                "AttributeName": ttl.get("AttributeName"),
                "Enabled": ttl["TimeToLiveStatus"] == "ENABLED",
            },
            "PointInTimeRecoverySpecification": {
                "PointInTimeRecoveryEnabled": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
                == "ENABLED"
            },
            "SSESpecification": {"SSEEnabled": sse.get("Status") == "ENABLED"},
        }
        for name_ in ("SSEType", "KMSMasterKeyId"):
            if name_ in asked.get("SSESpecification", {}):
                holds["SSESpecification"][name_] = sse.get(name_.replace("KeyId", "KeyArn"))
        return holds, {"Arn": table["TableArn"]}

    @staticmethod
    def list(aws):
        return aws.pages("dynamodb", "list_tables", "TableNames")


class Queue(Reader):
    @staticmethod
    def read(aws, url, asked):
        got = aws.found("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
        if not got:
            return None
        holds = got["Attributes"]
        labels = aws.call("sqs", "list_queue_tags", QueueUrl=url).get("Tags", {})
        name = url.rsplit("/", 1)[1]
        return {**holds, "Tags": labels, "QueueName": name}, {
            "Arn": holds["QueueArn"],
            "QueueName": name,
            "QueueUrl": url,
        }

    @staticmethod
    def list(aws):
        return aws.pages("sqs", "list_queues", "QueueUrls")


class LogGroup(Reader):
    @staticmethod
    def read(aws, name, asked):
        for group in aws.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name):
            if group["logGroupName"] == name:
                labels = aws.call("logs", "list_tags_log_group", logGroupName=name)["tags"]
                holds = {
                    "LogGroupName": name,
                    "RetentionInDays": group.get("retentionInDays"),
                    "KmsKeyId": group.get("kmsKeyId"),
                    "Tags": labels,
                }
                return holds, {"Arn": group["arn"]}
        return None

    @staticmethod
    def list(aws):
        return [g["logGroupName"] for g in aws.pages("logs", "describe_log_groups", "logGroups")]


class Alarm(Reader):
    @staticmethod
    def read(aws, name, asked):
        got = aws.call("cloudwatch", "describe_alarms", AlarmNames=[name])["MetricAlarms"]
        return (got[0], {"Arn": got[0]["AlarmArn"]}) if got else None

    @staticmethod
    def list(aws):
        return [a["AlarmName"] for a in aws.pages("cloudwatch", "describe_alarms", "MetricAlarms")]


class Dashboard(Reader):
    @staticmethod
    def asked(properties):
        properties["DashboardBody"] = json.loads(properties["DashboardBody"])
        return properties

    @staticmethod
    def read(aws, name, asked):
        got = aws.found("cloudwatch", "get_dashboard", DashboardName=name)
        return got and (got, {})

    @staticmethod
    def list(aws):
        return [d["DashboardName"] for d in aws.pages("cloudwatch", "list_dashboards", "DashboardEntries")]


class CodeDeployApplication(Reader):
    @staticmethod
    def read(aws, name, asked):
        got = aws.found("codedeploy", "get_application", applicationName=name)
        return got and ({"ApplicationName": name, "ComputePlatform": got["application"]["computePlatform"]}, {})


class DeploymentGroup(Reader):
    @staticmethod
    def read(aws, name, asked):
        application = asked["ApplicationName"]
        got = aws.found("codedeploy", "get_deployment_group", applicationName=application, deploymentGroupName=name)
        if not got:
            return None
        info = got["deploymentGroupInfo"]
        return {n[0].upper() + n[1:]: v for n, v in info.items()}, {}


class Rule(Reader):
    @staticmethod
    def read(aws, name, asked):
        got = aws.found("events", "describe_rule", Name=name)
        if not got:
            return None
        targets = aws.call("events", "list_targets_by_rule", Rule=name)["Targets"]
        return {**got, "Targets": targets}, {"Arn": got["Arn"]}

    @staticmethod
    def list(aws):
        return [r["Name"] for r in aws.pages("events", "list_rules", "Rules")]


TYPES = {
    "AWS::ApiGatewayV2::Api": HttpApi,
    "AWS::ApiGatewayV2::ApiMapping": ApiMapping,
    "AWS::ApiGatewayV2::DomainName": DomainName,
    "AWS::ApiGatewayV2::Stage": Stage,
    "AWS::CloudWatch::Alarm": Alarm,
    "AWS::CloudWatch::Dashboard": Dashboard,
    "AWS::CodeDeploy::Application": CodeDeployApplication,
    "AWS::CodeDeploy::DeploymentGroup": DeploymentGroup,
    "AWS::DynamoDB::Table": Table,
    "AWS::Events::Rule": Rule,
    "AWS::IAM::ManagedPolicy": ManagedPolicy,
    "AWS::IAM::Role": Role,
    "AWS::Lambda::Alias": Alias,
    "AWS::Lambda::EventSourceMapping": EventSourceMapping,
    "AWS::Lambda::Function": Function,
    "AWS::Lambda::Permission": Permission,
    "AWS::Lambda::Version": Version,
    "AWS::Logs::LogGroup": LogGroup,
    "AWS::SQS::Queue": Queue,
}
