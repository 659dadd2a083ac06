"""Print a SAM template as the CloudFormation template that AWS makes of it, in JSON.

Usage: expand_template.py TEMPLATE
       expand_template.py -

With -, each line of the standard input is a template and its parameters, {"template": {...}, "parameters": {...}}, and
each line of the output what came of it: {"expanded": {...}} or {"error": "..."}.

The transform is AWS's own (aws-sam-translator). It runs without an account; only a template that names AWS managed
policies for SAM to look up would need one, and is refused.
"""

import json
import logging
import os
import sys

from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class Refused(Exception):
    """A template that the transform does not take."""


class NoManagedPolicies:
    """Stands where SAM would ask IAM for the ARNs of managed policies."""

    def load(self):
        raise Refused("the template names a managed policy for SAM to look up: write its statements out instead")


def upload(template):
    """Put an uploaded archive where template names a folder, as `sam package` does before the transform."""
    globals_ = template.get("Globals", {}).get("Function", {})
    functions = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]
    for properties in [globals_, *functions]:
        if "CodeUri" in properties:
            properties["CodeUri"] = "s3://bucket/key"


def expand(template, parameters):
    """Return template as AWS would expand it with parameters, the others at their defaults."""
    upload(template)
    try:
        return transform(template, dict(parameters), NoManagedPolicies())
    except InvalidDocumentException as e:
        raise Refused("\n".join([e.message] + [cause.message for cause in e.causes])) from e


def expand_lines():
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"expanded": expand(asked["template"], asked["parameters"])}
        except Exception as e:  # the transform falls over some of what it should refuse; the next line is another template
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)


def main():
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")  # the transform wants one, whichever it is
    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns of switches of AWS's own that it lacks here
    if sys.argv[1] == "-":
        expand_lines()
        return
    with open(sys.argv[1], encoding="utf-8") as f:
        template = yaml_parse(f)
    try:
        expanded = expand(template, {})
    except Refused as e:
        raise SystemExit(str(e)) from e
    json.dump(expanded, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
