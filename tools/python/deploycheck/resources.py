"""Make, change and delete resources, with the calls to the services that CloudFormation makes.

A type is a class with create(context, properties), which returns the physical id and the attributes that Fn::GetAtt
may ask for, update(context, physical id, old properties, new properties), which returns the attributes, and
delete(context, physical id, properties). Every property goes into a call: the API's model refuses what it does not know.
"""

import json
import re
import uuid

from . import lacks
from .aws import ACCOUNT, Lacking, Refused


class Context:
    """What a resource is made in."""

    def __init__(self, aws, stack_name, logical_id, update_policy):
        self.aws, self.stack_name, self.logical_id = aws, stack_name, logical_id
        self.update_policy = update_policy
        self.call = aws.call

    def name(self, limit=64):
        """Return a name for a resource that has none."""
        return f"{self.stack_name}-{self.logical_id}"[: limit - 13] + "-" + uuid.uuid4().hex[:12].upper()

    def arn(self, service, path):
        return f"arn:{self.aws.partition}:{service}:{self.aws.region}:{ACCOUNT}:{path}"

    def listed(self, entry, *call, **given):
        """Make a call that the list of what the emulator lacks may excuse."""
        try:
            answer = self.call(*call, **given)
        except Lacking as e:
            if entry not in lacks.LACKS:
                raise Refused(f"the emulator lacks {e}: add {entry!r} to deploycheck/lacks.py, with the reason") from e
            lacks.NEEDED.add(entry)
            return None
        if entry in lacks.LACKS:
            raise Refused(f"{entry!r} stands in deploycheck/lacks.py, and the emulator has it: take the entry out")
        return answer


def split(properties, *names):
    """Return properties without those of these names, and the others' values (None where absent)."""
    return {k: v for k, v in properties.items() if k not in names}, *(properties.get(name) for name in names)


def tags(items):
    """Return tags as a map, from CloudFormation's list or map."""
    return {t["Key"]: t["Value"] for t in items} if isinstance(items, list) else dict(items or {})


def function(properties):
    """Return FunctionName as Lambda reads it: an alias's ARN names the function and the alias."""
    name, _, alias = properties["FunctionName"].split(":function:")[-1].partition(":")
    return {"FunctionName": name, **({"Qualifier": alias} if alias else {})}


def handler(kind):
    if kind not in TYPES:
        raise Refused(f"{kind} is not known here: add it to deploycheck/resources.py and deploycheck/judge.py")
    return TYPES[kind]


class Function:
    _apart = ("Code", "ReservedConcurrentExecutions", "RecursiveLoop", "Tags")

    @classmethod
    def create(cls, context, properties):
        own, code, reserved, loop, labels = split(properties, *cls._apart)
        name = own.pop("FunctionName", None) or context.name()
        cls._look_for(context, code)
        context.call("lambda", "create_function", own, FunctionName=name, Code=code, Tags=tags(labels))
        cls._concurrency(context, name, reserved)
        cls._loop(context, name, loop)
        return name, cls._attributes(context, name)

    @classmethod
    def update(cls, context, name, old, new):
        was, code_was, reserved_was, loop_was, labels_was = split(old, *cls._apart)
        own, code, reserved, loop, labels = split(new, *cls._apart)
        if (code, own.get("Architectures")) != (code_was, was.get("Architectures")):
            cls._look_for(context, code)
            context.call(
                "lambda",
                "update_function_code",
                code,
                FunctionName=name,
                Architectures=own.get("Architectures", ["x86_64"]),
            )
        if own != was:
            own.pop("Architectures", None), own.pop("FunctionName", None), own.pop("PackageType", None)
            # What is no longer asked for goes back to nothing.
            cleared = {
                "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
                "Environment": {"Variables": {}},
                "Description": "",
                "KmsKeyArn": "",
                "TracingConfig": {"Mode": "PassThrough"},
                "DeadLetterConfig": {"TargetArn": ""},
                "Layers": [],
            }
            own.update({k: v for k, v in cleared.items() if k in was and k not in own})
            context.call("lambda", "update_function_configuration", own, FunctionName=name)
        if reserved != reserved_was:
            cls._concurrency(context, name, reserved)
        if loop != loop_was:
            cls._loop(context, name, loop or "Terminate")
        if tags(labels) != tags(labels_was):
            context.call(
                "lambda", "tag_resource", Resource=context.arn("lambda", f"function:{name}"), Tags=tags(labels)
            )
        return cls._attributes(context, name)

    @staticmethod
    def delete(context, name, _properties):
        context.call("lambda", "delete_function", FunctionName=name)

    @staticmethod
    def _look_for(context, code):
        """Look whether the archive is there, as Lambda does and moto does not."""
        if (
            context.aws.found("s3", "list_objects_v2", Bucket=code["S3Bucket"], Prefix=code["S3Key"], MaxKeys=1).get(
                "KeyCount"
            )
            != 1
        ):
            raise Refused("Error occurred while GetObject. S3 Error Code: NoSuchKey. The specified key does not exist.")

    @staticmethod
    def _concurrency(context, name, reserved):
        if reserved is not None:
            context.call("lambda", "put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=reserved)
        else:
            context.aws.found("lambda", "delete_function_concurrency", FunctionName=name)

    @staticmethod
    def _loop(context, name, loop):
        if loop is not None:
            entry = "AWS::Lambda::Function.RecursiveLoop"
            context.listed(entry, "lambda", "put_function_recursion_config", FunctionName=name, RecursiveLoop=loop)

    @staticmethod
    def _attributes(context, name):
        return {"Arn": context.arn("lambda", f"function:{name}")}


class Version:
    @staticmethod
    def create(context, properties):
        made = context.call("lambda", "publish_version", properties)
        return made["FunctionArn"], {"Version": made["Version"], "FunctionArn": made["FunctionArn"]}

    @staticmethod
    def delete(context, arn, properties):
        name, version = arn.rsplit(":", 2)[-2:]
        context.call("lambda", "delete_function", FunctionName=name, Qualifier=version)


class Alias:
    @staticmethod
    def create(context, properties):
        made = context.call("lambda", "create_alias", properties)
        return made["AliasArn"], {"AliasArn": made["AliasArn"]}

    @classmethod
    def update(cls, context, arn, old, new):
        policy = context.update_policy.get("CodeDeployLambdaAliasUpdate")
        if policy and old["FunctionVersion"] != new["FunctionVersion"]:
            cls._shift(context, policy, old, new)
        context.call("lambda", "update_alias", new)
        return {"AliasArn": arn}

    @staticmethod
    def delete(context, _arn, properties):
        context.call("lambda", "delete_alias", FunctionName=properties["FunctionName"], Name=properties["Name"])

    @staticmethod
    def _shift(context, policy, old, new):
        """Ask CodeDeploy for the deployment that shifts the traffic. The emulator's shifts nothing."""
        spec = {
            "version": 0.0,
            "Resources": [
                {
                    context.logical_id: {
                        "Type": "AWS::Lambda::Function",
                        "Properties": {
                            "Name": new["FunctionName"],
                            "Alias": new["Name"],
                            "CurrentVersion": old["FunctionVersion"],
                            "TargetVersion": new["FunctionVersion"],
                        },
                    }
                }
            ],
        }
        context.call(
            "codedeploy",
            "create_deployment",
            applicationName=policy["ApplicationName"],
            deploymentGroupName=policy["DeploymentGroupName"],
            revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(spec)}},
        )


class Permission:
    @staticmethod
    def create(context, properties):
        statement = context.name(100)
        context.call("lambda", "add_permission", {**properties, **function(properties)}, StatementId=statement)
        return statement, {"Id": statement}

    @staticmethod
    def delete(context, statement, properties):
        context.aws.found("lambda", "remove_permission", function(properties), StatementId=statement)


class EventSourceMapping:
    @staticmethod
    def create(context, properties):
        own, labels = split(properties, "Tags")
        made = context.call("lambda", "create_event_source_mapping", own, Tags=tags(labels))
        return made["UUID"], {"Id": made["UUID"], "EventSourceMappingArn": made["EventSourceMappingArn"]}

    @staticmethod
    def update(context, physical_id, _old, new):
        own, _source, _tags = split(new, "EventSourceArn", "Tags")
        made = context.call("lambda", "update_event_source_mapping", own, UUID=physical_id)
        return {"Id": physical_id, "EventSourceMappingArn": made["EventSourceMappingArn"]}

    @staticmethod
    def delete(context, physical_id, _properties):
        context.call("lambda", "delete_event_source_mapping", UUID=physical_id)


class HttpApi:
    @classmethod
    def create(cls, context, properties):
        body = properties["Body"]
        made = context.call("apigatewayv2", "create_api", Name=body["info"]["title"], ProtocolType="HTTP")
        cls._import(context, made["ApiId"], properties)
        return made["ApiId"], cls._attributes(context, made["ApiId"])

    @classmethod
    def update(cls, context, api_id, _old, new):
        cls._import(context, api_id, new)
        return cls._attributes(context, api_id)

    @staticmethod
    def delete(context, api_id, _properties):
        context.call("apigatewayv2", "delete_api", ApiId=api_id)

    @staticmethod
    def _import(context, api_id, properties):
        own, body, fail, labels = split(properties, "Body", "FailOnWarnings", "Tags")
        context.call("apigatewayv2", "reimport_api", ApiId=api_id, Body=body, FailOnWarnings=fail or False)
        own.setdefault("DisableExecuteApiEndpoint", False)
        context.call("apigatewayv2", "update_api", own, ApiId=api_id)
        named = {t["name"]: t["x-amazon-apigateway-tag-value"] for t in body.get("tags", [])}
        arn = f"arn:{context.aws.partition}:apigateway:{context.aws.region}::/apis/{api_id}"
        context.call("apigatewayv2", "tag_resource", ResourceArn=arn, Tags={**named, **tags(labels)})

    @staticmethod
    def _attributes(context, api_id):
        host = f"{api_id}.execute-api.{context.aws.region}.{context.aws.url_suffix}"
        return {"ApiId": api_id, "ApiEndpoint": f"https://{host}"}


class Stage:
    @staticmethod
    def create(context, properties):
        own, labels = split(properties, "Tags")
        context.call("apigatewayv2", "create_stage", own, Tags=tags(labels))
        return properties["StageName"], {}

    @staticmethod
    def update(context, _name, old, new):
        own, labels = split(new, "Tags")
        # As for the functions: what is no longer asked for goes back to nothing.
        for name in ("RouteSettings", "DefaultRouteSettings", "AccessLogSettings", "StageVariables"):
            if name in old and name not in new:
                own[name] = {}
        context.call("apigatewayv2", "update_stage", own)
        return {}

    @staticmethod
    def delete(context, name, properties):
        context.call("apigatewayv2", "delete_stage", ApiId=properties["ApiId"], StageName=name)


class DomainName:
    @classmethod
    def create(cls, context, properties):
        own, labels = split(properties, "Tags")
        context.call("apigatewayv2", "create_domain_name", own, Tags=tags(labels))
        return properties["DomainName"], cls._attributes(context, properties["DomainName"])

    @classmethod
    def update(cls, context, name, _old, new):
        own, _ = split(new, "Tags")
        context.call("apigatewayv2", "update_domain_name", own)
        return cls._attributes(context, name)

    @staticmethod
    def delete(context, name, _properties):
        context.call("apigatewayv2", "delete_domain_name", DomainName=name)

    @staticmethod
    def _attributes(context, name):
        # moto names no regional address; AWS's has this form.
        host = f"d-{uuid.uuid5(uuid.NAMESPACE_DNS, name).hex[:10]}.execute-api.{context.aws.region}.{context.aws.url_suffix}"
        return {"RegionalDomainName": host, "RegionalHostedZoneId": "Z0000000000000"}


class ApiMapping:
    @staticmethod
    def create(context, properties):
        made = context.call("apigatewayv2", "create_api_mapping", properties)
        return made["ApiMappingId"], {"ApiMappingId": made["ApiMappingId"]}

    @staticmethod
    def update(context, physical_id, _old, new):
        context.call("apigatewayv2", "update_api_mapping", new, ApiMappingId=physical_id)
        return {"ApiMappingId": physical_id}

    @staticmethod
    def delete(context, physical_id, properties):
        context.call(
            "apigatewayv2", "delete_api_mapping", ApiMappingId=physical_id, DomainName=properties["DomainName"]
        )


class Role:
    _apart = ("RoleName", "ManagedPolicyArns", "Policies", "Tags", "PermissionsBoundary")

    @classmethod
    def create(cls, context, properties):
        own, name, attached, inline, labels, boundary = split(properties, *cls._apart)
        name = name or context.name()
        if boundary:
            own["PermissionsBoundary"] = boundary
        made = context.call("iam", "create_role", own, RoleName=name, Tags=labels or [])["Role"]
        cls._policies(context, name, {}, properties)
        return name, {"Arn": made["Arn"], "RoleId": made["RoleId"]}

    @classmethod
    def update(cls, context, name, old, new):
        context.call("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=new["AssumeRolePolicyDocument"])
        cls._policies(context, name, old, new)
        made = context.call("iam", "get_role", RoleName=name)["Role"]
        return {"Arn": made["Arn"], "RoleId": made["RoleId"]}

    @classmethod
    def delete(cls, context, name, properties):
        cls._policies(context, name, properties, {})
        context.call("iam", "delete_role", RoleName=name)

    @staticmethod
    def _policies(context, name, old, new):
        attached = set(new.get("ManagedPolicyArns", []))
        for arn in set(old.get("ManagedPolicyArns", [])) - attached:
            context.call("iam", "detach_role_policy", RoleName=name, PolicyArn=arn)
        for arn in attached - set(old.get("ManagedPolicyArns", [])):
            context.call("iam", "attach_role_policy", RoleName=name, PolicyArn=arn)
        inline = {p["PolicyName"]: p["PolicyDocument"] for p in new.get("Policies", [])}
        for policy in old.get("Policies", []):
            if policy["PolicyName"] not in inline:
                context.call("iam", "delete_role_policy", RoleName=name, PolicyName=policy["PolicyName"])
        for policy, document in inline.items():
            context.call("iam", "put_role_policy", RoleName=name, PolicyName=policy, PolicyDocument=document)


class ManagedPolicy:
    @staticmethod
    def create(context, properties):
        own, name = split(properties, "ManagedPolicyName")
        made = context.call("iam", "create_policy", own, PolicyName=name or context.name(128))
        return made["Policy"]["Arn"], {"PolicyArn": made["Policy"]["Arn"]}

    @staticmethod
    def update(context, arn, _old, new):
        made = context.call(
            "iam", "create_policy_version", PolicyArn=arn, PolicyDocument=new["PolicyDocument"], SetAsDefault=True
        )
        for version in context.call("iam", "list_policy_versions", PolicyArn=arn)["Versions"]:
            if version["VersionId"] != made["PolicyVersion"]["VersionId"]:
                context.call("iam", "delete_policy_version", PolicyArn=arn, VersionId=version["VersionId"])
        return {"PolicyArn": arn}

    @staticmethod
    def delete(context, arn, _properties):
        context.call("iam", "delete_policy", PolicyArn=arn)


class Table:
    _apart = ("TableName", "TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification")

    @classmethod
    def create(cls, context, properties):
        own, name, ttl, recovery, sse = split(properties, *cls._apart)
        name = name or context.name(255)
        if sse:
            own["SSESpecification"] = cls._sse(sse)
        context.call("dynamodb", "create_table", own, TableName=name)
        cls._beside(context, name, {}, properties)
        return name, cls._attributes(context, name)

    @classmethod
    def update(cls, context, name, old, new):
        own, _, ttl, recovery, sse = split(new, *cls._apart, "KeySchema", "Tags")[:5]
        own["SSESpecification"] = cls._sse(sse or {"SSEEnabled": False})
        context.call("dynamodb", "update_table", own, TableName=name)
        cls._beside(context, name, old, new)
        return cls._attributes(context, name)

    @staticmethod
    def delete(context, name, _properties):
        context.call("dynamodb", "delete_table", TableName=name)

    @staticmethod
    def _sse(sse):
        own, enabled = split(sse, "SSEEnabled")
        return {"Enabled": enabled, **own}

    @staticmethod
    def _beside(context, name, old, new):
        for key, operation in (
            ("TimeToLiveSpecification", "update_time_to_live"),
            ("PointInTimeRecoverySpecification", "update_continuous_backups"),
        ):
            if key in new and new[key] != old.get(key):
                context.call("dynamodb", operation, TableName=name, **{key: new[key]})

    @staticmethod
    def _attributes(context, name):
        return {"Arn": context.arn("dynamodb", f"table/{name}")}


class Queue:
    @classmethod
    def create(cls, context, properties):
        own, name, labels = split(properties, "QueueName", "Tags")
        name = name or context.name(80)
        url = context.call("sqs", "create_queue", QueueName=name, Attributes=own, tags=tags(labels))["QueueUrl"]
        return url, cls._attributes(context, url)

    @classmethod
    def update(cls, context, url, old, new):
        own, _, labels = split(new, "QueueName", "Tags")
        defaults = {
            "DelaySeconds": 0,
            "KmsMasterKeyId": "",
            "MessageRetentionPeriod": 345600,
            "ReceiveMessageWaitTimeSeconds": 0,
            "RedrivePolicy": "",
            "SqsManagedSseEnabled": True,
            "VisibilityTimeout": 30,
        }
        own.update({k: v for k, v in defaults.items() if k in old and k not in new})
        context.call("sqs", "set_queue_attributes", QueueUrl=url, Attributes=own)
        return cls._attributes(context, url)

    @staticmethod
    def delete(context, url, _properties):
        context.call("sqs", "delete_queue", QueueUrl=url)

    @staticmethod
    def _attributes(context, url):
        name = url.rsplit("/", 1)[1]
        return {"Arn": context.arn("sqs", name), "QueueName": name, "QueueUrl": url}


class LogGroup:
    _apart = ("LogGroupName", "RetentionInDays", "Tags", "KmsKeyId")

    @classmethod
    def create(cls, context, properties):
        own, name, days, labels, key = split(properties, *cls._apart)
        name = name or context.name(512)
        if key:
            own["kmsKeyId"] = key
        context.call("logs", "create_log_group", own, logGroupName=name, tags=tags(labels))
        if days:
            context.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
        return name, cls._attributes(context, name)

    @classmethod
    def update(cls, context, name, old, new):
        if new.get("RetentionInDays"):
            context.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=new["RetentionInDays"])
        elif old.get("RetentionInDays"):
            context.call("logs", "delete_retention_policy", logGroupName=name)
        if new.get("KmsKeyId") != old.get("KmsKeyId"):
            if new.get("KmsKeyId"):
                context.call("logs", "associate_kms_key", logGroupName=name, kmsKeyId=new["KmsKeyId"])
            else:
                context.call("logs", "disassociate_kms_key", logGroupName=name)
        return cls._attributes(context, name)

    @staticmethod
    def delete(context, name, _properties):
        context.call("logs", "delete_log_group", logGroupName=name)

    @staticmethod
    def _attributes(context, name):
        return {"Arn": context.arn("logs", f"log-group:{name}:*")}


class Alarm:
    @classmethod
    def create(cls, context, properties):
        name = properties.get("AlarmName") or context.name(255)
        return name, cls.update(context, name, None, properties)

    @staticmethod
    def update(context, name, _old, new):
        context.call("cloudwatch", "put_metric_alarm", {**new, "AlarmName": name})
        return {"Arn": context.arn("cloudwatch", f"alarm:{name}")}

    @staticmethod
    def delete(context, name, _properties):
        context.call("cloudwatch", "delete_alarms", AlarmNames=[name])


class Dashboard:
    @classmethod
    def create(cls, context, properties):
        name = properties.get("DashboardName") or re.sub("[^A-Za-z0-9_-]", "-", context.name())
        cls.update(context, name, None, properties)
        return name, {}

    @staticmethod
    def update(context, name, _old, new):
        json.loads(new["DashboardBody"])
        context.call("cloudwatch", "put_dashboard", DashboardName=name, DashboardBody=new["DashboardBody"])
        return {}

    @staticmethod
    def delete(context, name, _properties):
        context.call("cloudwatch", "delete_dashboards", DashboardNames=[name])


class CodeDeployApplication:
    @staticmethod
    def create(context, properties):
        name = properties.get("ApplicationName") or context.name(100)
        context.call("codedeploy", "create_application", properties, applicationName=name)
        return name, {}

    @staticmethod
    def delete(context, name, _properties):
        context.listed("AWS::CodeDeploy::Application deleted", "codedeploy", "delete_application", applicationName=name)


class DeploymentGroup:
    @staticmethod
    def create(context, properties):
        name = properties.get("DeploymentGroupName") or context.name(100)
        context.call("codedeploy", "create_deployment_group", properties, deploymentGroupName=name)
        return name, {}

    @staticmethod
    def update(context, name, _old, new):
        own, application = split(new, "ApplicationName")
        context.listed(
            "AWS::CodeDeploy::DeploymentGroup updated",
            "codedeploy",
            "update_deployment_group",
            properties=own,
            applicationName=application,
            currentDeploymentGroupName=name,
        )
        return {}

    @staticmethod
    def delete(context, name, properties):
        context.listed(
            "AWS::CodeDeploy::DeploymentGroup deleted",
            "codedeploy",
            "delete_deployment_group",
            applicationName=properties["ApplicationName"],
            deploymentGroupName=name,
        )


class Rule:
    @classmethod
    def create(cls, context, properties):
        name = properties.get("Name") or context.name()
        return name, cls.update(context, name, {}, properties)

    @staticmethod
    def update(context, name, old, new):
        own, targets, _ = split(new, "Targets", "Name")
        made = context.call("events", "put_rule", own, Name=name)
        gone = {t["Id"] for t in old.get("Targets", [])} - {t["Id"] for t in targets or []}
        if gone:
            context.call("events", "remove_targets", Rule=name, Ids=sorted(gone))
        if targets:
            context.call("events", "put_targets", Rule=name, Targets=targets)
        return {"Arn": made["RuleArn"]}

    @staticmethod
    def delete(context, name, properties):
        if properties.get("Targets"):
            context.call("events", "remove_targets", Rule=name, Ids=[t["Id"] for t in properties["Targets"]])
        context.call("events", "delete_rule", Name=name)


class Bucket:
    """Of the SAM CLI's own stack, which holds the archives."""

    @staticmethod
    def create(context, properties):
        own, name, versioning, labels = split(properties, "BucketName", "VersioningConfiguration", "Tags")
        name = name or context.name(63).lower()
        if context.aws.region != "us-east-1":
            own["CreateBucketConfiguration"] = {"LocationConstraint": context.aws.region}
        for key in ("BucketEncryption", "PublicAccessBlockConfiguration"):
            own.pop(key, None)
        context.call("s3", "create_bucket", own, Bucket=name)
        if versioning:
            context.call("s3", "put_bucket_versioning", Bucket=name, VersioningConfiguration=versioning)
        return name, {"Arn": f"arn:{context.aws.partition}:s3:::{name}"}

    @staticmethod
    def delete(context, name, _properties):
        context.call("s3", "delete_bucket", Bucket=name)


class BucketPolicy:
    """Of the SAM CLI's own stack: it refuses what is not TLS, and moto would refuse everything by it."""

    @staticmethod
    def create(context, _properties):
        return context.name(), {}

    @staticmethod
    def delete(_context, _physical_id, _properties):
        pass


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
    "AWS::S3::Bucket": Bucket,
    "AWS::S3::BucketPolicy": BucketPolicy,
    "AWS::SQS::Queue": Queue,
}
