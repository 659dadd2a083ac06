"""Play the life of one stack in one region: deployed, changed, failed and rolled back, with every option, deleted."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from expand_template import NoManagedPolicies

from . import documentation, intrinsics, lacks
from .emulator import Emulator
from .judge import TYPES, Wrong, judge, leftovers, there

STACK = "wechat-parking-gateway"  # as in samconfig.toml


def every_option(aws):
    """Return values for the parameters that are off by default, with the things that they name made in aws."""
    certificate = aws.call("acm", "request_certificate", DomainName="parking.example.com")
    vpc = aws.call("ec2", "describe_vpcs")["Vpcs"][0]["VpcId"]
    subnets = aws.pages("ec2", "describe_subnets", "Subnets")
    group = aws.call("ec2", "create_security_group", GroupName="https-out", Description="HTTPS out", VpcId=vpc)
    return {
        "AlarmTopicArn": aws.call("sns", "create_topic", Name="alarms")["TopicArn"],
        "CallbackBaseUrl": "https://parking.example.com",
        "CertificateRefresh": "on",
        "CertificateArn": certificate["CertificateArn"],
        "DeploymentType": "AllAtOnce",
        "DomainName": "parking.example.com",
        "EventDeliveryConcurrency": "20",
        "NotifyCallbackConcurrency": "50",
        "ParkingSyncConcurrency": "40",
        "SecretsKmsKeyArn": aws.call("kms", "create_key")["KeyMetadata"]["Arn"],
        "SecurityGroupIds": group["GroupId"],
        "SubnetIds": ",".join(s["SubnetId"] for s in subnets[:2]),
        "VehicleNotifyConcurrency": "40",
        "VendorInfoConcurrency": "5",
        "VendorsSecretNames": "wechat-parking/vendors,wechat-parking/vendors-2",
    }


class Scenario:
    def __init__(self, emulator, built, work):
        self.emulator, self.aws, self.built, self.work = emulator, emulator.aws, built, work
        self.cloudformation = self.aws.client("cloudformation")
        self.before = {kind: set(reader.list(self.aws)) for kind, reader in TYPES.items()}
        self.conditions = {}
        self.lacking = set()
        self.steps = 0
        home = self.work / "samcli"
        home.mkdir()
        (home / "metadata.json").write_text(json.dumps({"telemetryEnabled": False, "lastVersionCheck": time.time()}))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": emulator.endpoint,
            "AWS_REGION": self.aws.region,
            "AWS_DEFAULT_REGION": self.aws.region,
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.2",
            "__SAM_CLI_APP_DIR": str(home),
        }

    def sam(self, *arguments):
        """Run the SAM CLI as the documentation says, but for the questions, and return its exit status and output."""
        self.steps += 1
        done = subprocess.run(
            [str(Path(sys.executable).with_name("sam")), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        (self.work / f"{self.steps}-sam-{arguments[0]}.log").write_text(done.stdout)
        return done.returncode, done.stdout

    def deploy(self, template, overrides):
        """Deploy, and return the exit status and output. overrides are the only parameters with a value of their own."""
        arguments = ["deploy", "--template-file", str(template), "--config-file", str(Path("samconfig.toml").resolve())]
        declared = yaml_parse(self.built.joinpath("template.yaml").read_text())["Parameters"]
        # The SAM CLI says UsePreviousValue of a parameter that it is not given: give all of them.
        values = {name: str(p["Default"]) for name, p in declared.items()} | overrides
        pairs = [f"ParameterKey={name},ParameterValue={value}" for name, value in values.items() if value]
        empty = [f"ParameterKey={name},ParameterValue=''" for name, value in values.items() if not value]
        return self.sam(*arguments, "--no-confirm-changeset", "--parameter-overrides", *pairs, *empty)

    def stack(self):
        return self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]

    def physical(self, stack_id=STACK):
        resources = self.cloudformation.describe_stack_resources(StackName=stack_id)["StackResources"]
        return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources}

    def expanded(self, overrides):
        """Return the expanded template that the stack was deployed with, and its parameters' values."""
        template = yaml_parse(self.cloudformation.get_template(StackName=STACK)["TemplateBody"])
        values = intrinsics.parameters(template, overrides)
        return transform(template, values, NoManagedPolicies()), values

    def succeed(self, title, template, overrides):
        """Deploy with success, and judge."""
        started = time.monotonic()
        status, output = self.deploy(template, overrides)
        if status != 0:
            raise Wrong(f"{title}: sam deploy ended with {status}:\n{output[-4000:]}")
        self.judge(title, overrides, time.monotonic() - started)

    def judge(self, title, overrides, seconds):
        """Compare what there is with what was asked for, and print it."""
        stack = self.stack()
        template, values = self.expanded(overrides)
        never_updated = {e.removesuffix(" updated") for e in lacks.NEEDED if e.endswith(" updated")}
        report = judge(self.aws, STACK, stack["StackId"], template, values, self.physical(), lacks.LACKS, never_updated)
        known = set(self.physical().values())
        for kind, physical_id in leftovers(self.aws, known):
            if physical_id not in self.before[kind]:
                report.problems.append(f"{kind} {physical_id} belongs to no resource of the stack")
        self.lacking |= report.lacking
        for name, holds in report.conditions.items():
            self.conditions.setdefault(name, set()).add(holds)
        asked, found = sum(report.asked.values()), sum(report.found.values())
        print(f"\n{title}: {stack['StackStatus']} in {seconds:.0f} s")
        for kind in sorted(report.asked):
            print(f"  {kind:40} {report.asked[kind]:3} asked for {report.found[kind]:3} found")
        print(f"  {'total':40} {asked:3} asked for {found:3} found, {report.properties} properties compared")
        if report.problems:
            raise Wrong(f"{title}:\n" + "\n".join(f"  {p}" for p in report.problems))


def versions(scenario):
    """Return each function's published versions and the version of its alias, by logical id."""
    found = {}
    for logical_id, physical_id in scenario.physical().items():
        name = physical_id
        if not logical_id.endswith("Function"):
            continue
        pages = scenario.aws.pages("lambda", "list_versions_by_function", "Versions", FunctionName=name)
        aliases = scenario.aws.pages("lambda", "list_aliases", "Aliases", FunctionName=name)
        published = [int(v["Version"]) for v in pages if v["Version"] != "$LATEST"]
        found[logical_id] = (published, {a["Name"]: int(a["FunctionVersion"]) for a in aliases})
    return found


def changed_build(built, work, function):
    """Copy a build, with another program for one function."""
    changed = work / "changed"
    shutil.copytree(built, changed)
    with open(changed / function / "bootstrap", "ab") as f:
        f.write(b"\n")
    return changed / "template.yaml"


def broken_build(scenario, work, function):
    """Write a template that asks for an archive that is not there."""
    body = scenario.cloudformation.get_template(StackName=STACK)["TemplateBody"]
    template = yaml_parse(body)
    uri = template["Resources"][function]["Properties"]["CodeUri"]
    template["Resources"][function]["Properties"]["CodeUri"] = uri.rsplit("/", 1)[0] + "/not-there"
    path = work / "broken.json"
    path.write_text(json.dumps(template))
    return path


def play(region, built, work, thorough):
    """Play one stack's life, and return what the whole check needs to know of it."""
    with Emulator(region) as emulator:
        s = Scenario(emulator, built, work)
        options = every_option(s.aws)
        declared = yaml_parse((built / "template.yaml").read_text())["Parameters"]
        unknown = sorted(n for n, p in declared.items() if p.get("Default") == "" and n not in options)
        if unknown:
            raise Wrong(
                f"no value is known that switches on {', '.join(unknown)}: add it to every_option in deploycheck/scenario.py"
            )
        options = {n: v for n, v in options.items() if n in declared}
        # The things that the options name are no leftovers.
        s.before = {kind: set(reader.list(s.aws)) for kind, reader in TYPES.items()}

        s.succeed(f"{region}: the first deployment, all defaults", built / "template.yaml", {})
        first = versions(s)
        print(f"  {len(s.stack()['Outputs'])} outputs")

        overrides = {"LogRetentionDays": "30", "DeliveryMaximumConcurrency": "20"}
        if thorough:
            function = "EventDeliveryFunction"
            s.succeed(
                f"{region}: an update, two parameters and the code of one function",
                changed_build(built, work, function),
                overrides,
            )
            second = versions(s)
            check_versions(s, first, second, {function})
            fail_and_roll_back(s, work, overrides, second)
            first = second
        s.succeed(f"{region}: every option on", built / "template.yaml", {**overrides, **options})
        second = versions(s)
        # Parameters alone make new versions too, or the alias would stay with the old settings.
        check_versions(s, first, second, set(first))
        s.succeed(f"{region}: every option off again", built / "template.yaml", {})
        delete(s)
        if thorough:
            documentation.follow(s)
        return {
            "conditions": {n: sorted(v) for n, v in s.conditions.items()},
            "needed": sorted(s.lacking | lacks.NEEDED),
        }


def check_versions(s, first, second, changed):
    """Each function that changed has a new version, its alias is there, and CodeDeploy was asked to go there."""
    physical = s.physical()
    for name, (published, aliases) in second.items():
        if not aliases or any(version != max(published) for version in aliases.values()):
            raise Wrong(f"{name}: its alias ({aliases}) is not at the newest of the versions {published}")
        if name not in changed:
            continue
        before = first[name][0]
        # A version that only parameters changed replaces the one before; one with other code stands beside it.
        if max(published) != max(before) + 1:
            raise Wrong(f"{name} changed, and its versions were {before} and are {published}")
        asked = s.aws.pages(
            "codedeploy",
            "list_deployments",
            "deployments",
            applicationName=physical["ServerlessDeploymentApplication"],
            deploymentGroupName=physical[f"{name}DeploymentGroup"],
        )
        specs = [s.aws.call("codedeploy", "get_deployment", deploymentId=d)["deploymentInfo"] for d in asked]
        contents = [d.get("revision", {}).get("appSpecContent", {}).get("content", "") for d in specs]
        want = f'"TargetVersion": "{max(published)}"'
        if not any(want in content for content in contents):
            raise Wrong(f"{name}: CodeDeploy was not asked for version {max(published)}: {contents}")
        print(f"  {name}: versions {published}, alias {aliases}, by CodeDeploy")


def fail_and_roll_back(s, work, overrides, published):
    """An update that fails half-way leaves everything as it was."""
    started = time.monotonic()
    broken = broken_build(s, work, "EventDeliveryFunction")
    status, output = s.deploy(broken, {**overrides, "LogRetentionDays": "60"})
    seconds = time.monotonic() - started
    got = s.stack()["StackStatus"]
    if status == 0 or got != "UPDATE_ROLLBACK_COMPLETE":
        raise Wrong(
            f"an update without its archive: sam deploy ended with {status}, the stack is {got}:\n{output[-4000:]}"
        )
    if "NoSuchKey" not in output:
        raise Wrong(f"an update without its archive: sam deploy does not say why:\n{output[-4000:]}")
    events = s.cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    undone = [
        e
        for e in events[: events.index(next(e for e in events if e["ResourceStatus"] == "UPDATE_IN_PROGRESS"))]
        if e["ResourceStatus"] == "UPDATE_COMPLETE"
    ]
    if not undone:
        raise Wrong("an update without its archive: nothing was changed before it failed, so nothing was rolled back")
    s.judge(f"{s.aws.region}: an update that fails after {len(undone)} changes, rolled back", overrides, seconds)
    now = {name: aliases for name, (_, aliases) in versions(s).items()}
    if now != {name: aliases for name, (_, aliases) in published.items()}:
        raise Wrong(f"after the rollback the aliases are {now}")


def delete(s):
    """Deleting the stack keeps what says Retain, and nothing else."""
    template, values = s.expanded({})
    physical, stack_id = s.physical(), s.stack()["StackId"]
    before = judge(s.aws, STACK, stack_id, template, values, physical, lacks.LACKS)
    status, output = s.sam("delete", "--no-prompts", "--stack-name", STACK, "--region", s.aws.region)
    if status != 0:
        raise Wrong(f"sam delete ended with {status}:\n{output[-4000:]}")
    # A version goes with its function, whatever its policy says.
    keep = {
        i
        for i in physical
        if template["Resources"][i].get("DeletionPolicy") == "Retain" and before.wanted[i][0] != "AWS::Lambda::Version"
    }
    undeletable = {i for i, (kind, _) in before.wanted.items() if f"{kind} deleted" in lacks.NEEDED}
    now = there(s.aws, before, physical)
    print(f"\n{s.aws.region}: deleted")
    for logical_id in sorted(keep & now):
        print(f"  {logical_id} stays, as its DeletionPolicy says")
    print(f"  {len(set(physical) - now)} are gone, {len(now & undeletable)} the emulator cannot delete")
    wrong = [f"{i} ({before.wanted[i][0]}) is gone, and its DeletionPolicy is Retain" for i in keep - now]
    wrong += [f"{i} ({before.wanted[i][0]}) is still there" for i in now - keep - undeletable]
    for kind, physical_id in leftovers(s.aws, {physical[i] for i in keep}):
        if physical_id not in s.before[kind]:
            wrong.append(f"{kind} {physical_id} is left over")
    if wrong:
        raise Wrong("after the deletion:\n" + "\n".join(f"  {w}" for w in wrong))
