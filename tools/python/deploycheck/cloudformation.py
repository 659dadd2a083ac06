"""CloudFormation, as far as the SAM CLI and a check of a deployment need it.

A stack's resources are made, changed, replaced and deleted by calls to the services (module resources), in the order of
their references. A property that AWS's resource schema calls create-only replaces the resource. A change that
fails is undone, in reverse. DeletionPolicy and UpdateReplacePolicy count. A type, property, function or parameter that
is not known fails the stack.
"""

import datetime
import itertools
import json
import uuid

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from expand_template import NoManagedPolicies

from . import intrinsics, resources
from .aws import ACCOUNT, Refused


class Error(Exception):
    """What CloudFormation answers a wrong call with."""

    code = "ValidationError"


class ChangeSetNotFound(Error):
    code = "ChangeSetNotFound"


class Failed(Exception):
    """A resource could not be made, changed or deleted."""

    def __init__(self, logical_id, reason):
        super().__init__(f"{logical_id}: {reason}")
        self.logical_id, self.reason = logical_id, str(reason)


class Made:
    """A resource that exists."""

    def __init__(self, kind, properties, template, physical_id, attributes):
        self.kind = kind
        self.properties = properties
        self.template = template
        self.physical_id = physical_id
        self.attributes = attributes


class Stack:
    def __init__(self, name, stack_id):
        self.name, self.id = name, stack_id
        self.status, self.reason = "REVIEW_IN_PROGRESS", None
        self.created = _now()
        self.template_body, self.template = "", {"Resources": {}}
        self.values, self.tags, self.outputs = {}, [], []
        self.made = {}  # by logical id, in the order in which they were made
        self.events = []
        self.change_sets = {}

    def event(self, logical_id, physical_id, kind, status, reason=None):
        self.events.append(
            {
                "StackId": self.id,
                "EventId": str(uuid.uuid4()),
                "StackName": self.name,
                "LogicalResourceId": logical_id,
                "PhysicalResourceId": physical_id,
                "ResourceType": kind,
                "Timestamp": _now(),
                "ResourceStatus": status,
                **({"ResourceStatusReason": reason} if reason else {}),
            }
        )

    def enter(self, status, reason=None):
        self.status, self.reason = status, reason
        self.event(self.name, self.id, "AWS::CloudFormation::Stack", status, reason)


def create_only(region, kind):
    """Return the names of a type's top-level properties that cannot be changed, by AWS's schema of it in the region."""
    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema
    except Exception as e:  # cfn-lint's own error has no public name
        raise Refused(f"{kind} is not offered in {region}") from e
    paths = [path.split("/")[2:] for path in schema.get("createOnlyProperties", [])]
    return {path[0] for path in paths if len(path) == 1}


class CloudFormation:
    """The service. Its operations take and return what botocore's model of the API says."""

    def __init__(self, aws):
        self._aws = aws
        self._stacks = {}  # by id
        self._numbers = itertools.count(1)

    # Operations.

    def create_change_set(self, **given):
        name = given["StackName"]
        stack = self._live(name)
        kind = given.get("ChangeSetType", "UPDATE")
        if kind == "CREATE":
            if stack and stack.status != "REVIEW_IN_PROGRESS":
                raise Error(f"Stack [{name}] already exists and cannot be created again with the changeSet")
            if not stack:
                stack = Stack(name, f"{self._arn('stack')}/{name}/{uuid.uuid4()}")
                self._stacks[stack.id] = stack
                stack.enter("REVIEW_IN_PROGRESS", "User Initiated")
        elif not stack:
            raise Error(f"Stack [{name}] does not exist")
        body = given.get("TemplateBody") or self._download(given["TemplateURL"])
        parameters = {
            p["ParameterKey"]: stack.values[p["ParameterKey"]] if p.get("UsePreviousValue") else p["ParameterValue"]
            for p in given.get("Parameters", [])
        }
        template = yaml_parse(body)
        values = self._checked(intrinsics.parameters, template, parameters)
        template = self._expand(template, values)
        self._check_capabilities(template, given.get("Capabilities", []))
        change_set = {
            "ChangeSetName": given["ChangeSetName"],
            "ChangeSetId": f"{self._arn('changeSet')}/{given['ChangeSetName']}/{uuid.uuid4()}",
            "StackId": stack.id,
            "StackName": stack.name,
            "CreationTime": _now(),
            "ExecutionStatus": "AVAILABLE",
            "Status": "CREATE_COMPLETE",
            "Changes": self._changes(stack, template, values),
        }
        if not change_set["Changes"] and template.get("Outputs") == stack.template.get("Outputs"):
            change_set.update(
                Status="FAILED",
                ExecutionStatus="UNAVAILABLE",
                StatusReason="The submitted information didn't contain changes. "
                "Submit different information to create a change set.",
            )
        stack.change_sets[change_set["ChangeSetId"]] = (change_set, body, template, values, given)
        return {"Id": change_set["ChangeSetId"], "StackId": stack.id}

    def describe_change_set(self, **given):
        return self._change_set(given)[1][0]

    def delete_change_set(self, **given):
        stack, found = self._change_set(given)
        del stack.change_sets[found[0]["ChangeSetId"]]
        return {}

    def execute_change_set(self, **given):
        stack, (change_set, body, template, values, asked) = self._change_set(given)
        if change_set["ExecutionStatus"] != "AVAILABLE":
            raise Error(f"ChangeSet [{change_set['ChangeSetId']}] cannot be executed")
        stack.change_sets.clear()
        stack.tags = asked.get("Tags", stack.tags)
        verb = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        stack.enter(f"{verb}_IN_PROGRESS", "User Initiated")
        change = Change(self._aws, stack, template, values)
        try:
            outputs = change.run()
        except Failed as e:
            rollback = "ROLLBACK" if verb == "CREATE" else "UPDATE_ROLLBACK"
            stack.enter(f"{rollback}_IN_PROGRESS", f"The following resource(s) failed: [{e.logical_id}].")
            try:
                change.undo()
                stack.enter(f"{rollback}_COMPLETE")
            except Failed as again:
                stack.enter(f"{rollback}_FAILED", str(again))
            return {}
        stack.template_body, stack.template, stack.values, stack.outputs = body, template, values, outputs
        stack.enter(f"{verb}_COMPLETE")
        return {}

    def create_stack(self, **given):
        created = self.create_change_set(**given, ChangeSetName="create", ChangeSetType="CREATE")
        self.execute_change_set(ChangeSetName=created["Id"])
        return {"StackId": created["StackId"]}

    def delete_stack(self, **given):
        stack = self._live(given["StackName"])
        if not stack:
            return {}
        stack.enter("DELETE_IN_PROGRESS", "User Initiated")
        try:
            Change(self._aws, stack, {"Resources": {}}, {}).run()
            stack.enter("DELETE_COMPLETE")
        except Failed as e:
            stack.enter("DELETE_FAILED", str(e))
        return {}

    def describe_stacks(self, **given):
        if "StackName" in given:
            stacks = [self._stack(given["StackName"])]
        else:
            stacks = [s for s in self._stacks.values() if s.status != "DELETE_COMPLETE"]
        return {
            "Stacks": [
                {
                    "StackId": s.id,
                    "StackName": s.name,
                    "CreationTime": s.created,
                    "StackStatus": s.status,
                    **({"StackStatusReason": s.reason} if s.reason else {}),
                    "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in s.values.items()],
                    "Outputs": s.outputs,
                    "Tags": s.tags,
                    "EnableTerminationProtection": False,
                }
                for s in stacks
            ]
        }

    def describe_stack_events(self, **given):
        return {"StackEvents": self._stack(given["StackName"]).events[::-1]}

    def describe_stack_resources(self, **given):
        stack = self._stack(given["StackName"])
        return {
            "StackResources": [
                {
                    "StackName": stack.name,
                    "StackId": stack.id,
                    "LogicalResourceId": logical_id,
                    "PhysicalResourceId": made.physical_id,
                    "ResourceType": made.kind,
                    "Timestamp": stack.created,
                    "ResourceStatus": "CREATE_COMPLETE",
                }
                for logical_id, made in stack.made.items()
            ]
        }

    def list_stack_resources(self, **given):
        return {
            "StackResourceSummaries": [
                {**r, "LastUpdatedTimestamp": r["Timestamp"]}
                for r in self.describe_stack_resources(**given)["StackResources"]
            ]
        }

    def get_template(self, **given):
        stack = self._stack(given["StackName"])
        if given.get("TemplateStage") == "Processed":
            return {"TemplateBody": json.dumps(stack.template)}
        return {"TemplateBody": stack.template_body}

    def get_template_summary(self, **given):
        template = yaml_parse(self._stack(given["StackName"]).template_body)
        return {
            "Parameters": [
                {"ParameterKey": name, "ParameterType": p["Type"], "DefaultValue": str(p.get("Default", ""))}
                for name, p in template.get("Parameters", {}).items()
            ],
            "ResourceTypes": sorted({r["Type"] for r in template["Resources"].values()}),
        }

    # What the operations share.

    def _arn(self, kind):
        return f"arn:{self._aws.partition}:cloudformation:{self._aws.region}:{ACCOUNT}:{kind}"

    def _live(self, name):
        for stack in self._stacks.values():
            if name in (stack.name, stack.id) and stack.status != "DELETE_COMPLETE":
                return stack
        return None

    def _stack(self, name):
        stack = self._stacks.get(name) or self._live(name)
        if not stack:
            raise Error(f"Stack with id {name} does not exist")
        return stack

    def _change_set(self, given):
        for stack in self._stacks.values():
            for change_set_id, found in stack.change_sets.items():
                if given["ChangeSetName"] in (change_set_id, found[0]["ChangeSetName"]):
                    return stack, found
        raise ChangeSetNotFound(f"ChangeSet [{given['ChangeSetName']}] does not exist")

    def _download(self, url):
        bucket, key = url.split("://", 1)[1].split("/", 1)[1].split("/", 1)
        return self._aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()

    def _checked(self, function, *args):
        try:
            return function(*args)
        except (intrinsics.TemplateError, Refused) as e:
            raise Error(str(e)) from e

    def _expand(self, template, values):
        """Do the SAM transform, which AWS does when the change set is made."""
        if "Transform" not in template:
            return template
        try:
            return transform(template, values, NoManagedPolicies())
        except InvalidDocumentException as e:
            causes = "; ".join(cause.message for cause in e.causes)
            raise Error(f"Transform AWS::Serverless-2016-10-31 failed with: {e.message} {causes}") from e

    def _check_capabilities(self, template, given):
        iam = [r for r in template["Resources"].values() if r["Type"].startswith("AWS::IAM::")]
        named = [
            r
            for r in iam
            if any(n in r.get("Properties", {}) for n in ("RoleName", "ManagedPolicyName", "UserName", "GroupName"))
        ]
        needed = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM" if iam else None
        if needed and not {needed, "CAPABILITY_NAMED_IAM"} & set(given):
            error = Error(f"Requires capabilities : [{needed}]")
            error.code = "InsufficientCapabilitiesException"
            raise error

    def _changes(self, stack, template, values):
        """Return what a change set says of each resource. What depends on a resource that is new is not looked into."""
        change = Change(self._aws, stack, template, values)
        wanted = self._checked(change.wanted)
        changes = []
        for logical_id, resource in wanted.items():
            if logical_id not in stack.made:
                changes.append(("Add", logical_id, None, resource["Type"]))
            elif resource != stack.made[logical_id].template or values != stack.values:
                changes.append(("Modify", logical_id, stack.made[logical_id].physical_id, resource["Type"]))
        for logical_id, made in stack.made.items():
            if logical_id not in wanted:
                changes.append(("Remove", logical_id, made.physical_id, made.kind))
        return [
            {
                "Type": "Resource",
                "ResourceChange": {
                    "Action": action,
                    "LogicalResourceId": logical_id,
                    **({"PhysicalResourceId": physical_id} if physical_id else {}),
                    "ResourceType": kind,
                    **({"Replacement": "Conditional"} if action == "Modify" else {}),
                },
            }
            for action, logical_id, physical_id, kind in changes
        ]


class Change:
    """One step of a stack from what it is to what a template says."""

    def __init__(self, aws, stack, template, values):
        self._aws, self._stack, self._template = aws, stack, template
        self._evaluator = intrinsics.Evaluator(
            template, values, pseudo(aws, stack.name, stack.id), self._ref, lambda *path: self._get_att(*path)
        )
        self._before = dict(stack.made)
        self._after = {}
        self._under_way = []
        self._journal = []  # what to do to undo, as (logical id, function)

    def wanted(self):
        """Return the resources that the template and the parameters ask for, if its rules hold."""
        self._evaluator.check_rules()
        return {i: r for i, r in self._template["Resources"].items() if self._evaluator.exists(r)}

    def run(self):
        """Do it, and return the outputs."""
        for logical_id in self.wanted():
            self._ensure(logical_id)
        try:
            outputs = [
                {
                    "OutputKey": key,
                    "OutputValue": self._evaluator.value(o["Value"]),
                    "Description": o.get("Description", ""),
                }
                for key, o in self._template.get("Outputs", {}).items()
                if self._evaluator.exists(o)
            ]
        except intrinsics.TemplateError as e:
            raise Failed("Outputs", e) from e
        # What was replaced or is no longer asked for goes last, when nothing refers to it any more.
        for logical_id, made in reversed(self._before.items()):
            kept = self._after.get(logical_id)
            if kept is None:
                self._remove(logical_id, made, made.template.get("DeletionPolicy"))
            elif kept.physical_id != made.physical_id:
                self._remove(logical_id, made, made.template.get("UpdateReplacePolicy"))
        self._stack.made = self._after
        return outputs

    def undo(self):
        """Undo what was done."""
        for logical_id, function in reversed(self._journal):
            try:
                function()
            except Exception as e:
                raise Failed(logical_id, e) from e
        self._stack.made = self._before

    def _ref(self, logical_id):
        return self._ensure(logical_id).physical_id

    def _get_att(self, logical_id, attribute):
        made = self._ensure(logical_id)
        if attribute not in made.attributes:
            raise intrinsics.TemplateError(
                f"{made.kind} has no attribute {attribute} here: add it to deploycheck/resources.py"
            )
        return made.attributes[attribute]

    def _ensure(self, logical_id):
        if logical_id in self._after:
            return self._after[logical_id]
        if logical_id in self._under_way:
            raise Failed(logical_id, f"Circular dependency between resources: {self._under_way}")
        resource = self._template["Resources"].get(logical_id)
        if resource is None or not self._evaluator.exists(resource):
            raise intrinsics.TemplateError(f"Unresolved resource dependencies [{logical_id}]")
        self._under_way.append(logical_id)
        try:
            depends_on = resource.get("DependsOn", [])
            for other in [depends_on] if isinstance(depends_on, str) else depends_on:
                if self._evaluator.exists(self._template["Resources"][other]):
                    self._ensure(other)
            made = self._step(logical_id, resource, self._evaluator.value(resource.get("Properties", {})))
        except Failed:
            raise
        except Exception as e:  # whatever goes wrong fails the resource, as in CloudFormation
            verb = "UPDATE" if logical_id in self._before else "CREATE"
            self._stack.event(logical_id, "", resource["Type"], f"{verb}_FAILED", str(e)[:1000])
            raise Failed(logical_id, e) from e
        finally:
            self._under_way.remove(logical_id)
        self._after[logical_id] = made
        return made

    def _step(self, logical_id, resource, properties):
        kind = resource["Type"]
        handler = resources.handler(kind)
        fixed = create_only(self._aws.region, kind)
        before = self._before.get(logical_id)
        if before and before.kind != kind:
            raise Refused("Update of resource type is not permitted. The new template modifies resource type")
        changed = before and {
            n for n in properties.keys() | before.properties.keys() if properties.get(n) != before.properties.get(n)
        }
        if before and not changed:
            return Made(kind, properties, resource, before.physical_id, before.attributes)
        policy = self._evaluator.value(resource.get("UpdatePolicy", {}))
        context = resources.Context(self._aws, self._stack.name, logical_id, policy)
        if before and not changed & fixed:
            attributes = handler.update(context, before.physical_id, before.properties, properties)
            self._journal.append(
                (logical_id, lambda: handler.update(context, before.physical_id, properties, before.properties))
            )
            self._stack.event(logical_id, before.physical_id, kind, "UPDATE_COMPLETE")
            return Made(kind, properties, resource, before.physical_id, attributes)
        physical_id, attributes = handler.create(context, properties)
        made = Made(kind, properties, resource, physical_id, attributes)
        # A resource that is kept when its stack goes is also kept when the change that made it is undone.
        if resource.get("DeletionPolicy") != "Retain":
            self._journal.append((logical_id, lambda: handler.delete(context, physical_id, properties)))
        self._stack.event(logical_id, physical_id, kind, "UPDATE_COMPLETE" if before else "CREATE_COMPLETE")
        return made

    def _remove(self, logical_id, made, policy):
        if policy == "Retain":
            self._stack.event(logical_id, made.physical_id, made.kind, "DELETE_SKIPPED")
            return
        try:
            context = resources.Context(self._aws, self._stack.name, logical_id, {})
            resources.handler(made.kind).delete(context, made.physical_id, made.properties)
        except Exception as e:
            self._stack.event(logical_id, made.physical_id, made.kind, "DELETE_FAILED", str(e)[:1000])
            raise Failed(logical_id, e) from e
        self._stack.event(logical_id, made.physical_id, made.kind, "DELETE_COMPLETE")


def pseudo(aws, stack_name, stack_id):
    """Return the values of the pseudo parameters."""
    return {
        "AWS::AccountId": ACCOUNT,
        "AWS::NotificationARNs": [],
        "AWS::Partition": aws.partition,
        "AWS::Region": aws.region,
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": aws.url_suffix,
    }


def _now():
    return datetime.datetime.now(datetime.timezone.utc)
