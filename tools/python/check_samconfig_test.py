"""Tests of check_samconfig: every row is one mutation of a config that passes."""

import copy
import unittest

from check_samconfig import problems

TEMPLATE = {
    "Parameters": {
        "MerchantSecretName": {"Type": "String", "AllowedPattern": "^[a-z/-]+$", "MaxLength": 40, "ConstraintDescription": "must be a name"},
        "MerchantKeySecretName": {"Type": "String"},
        "VendorsSecretNames": {"Type": "String"},
        "Days": {"Type": "Number", "AllowedValues": [7, 14]},
        "Limit": {"Type": "Number", "MinValue": 2, "MaxValue": 10},
    }
}


def environment(name):
    stack = f"wechat-parking-{name}"
    return {
        "global": {"parameters": {"stack_name": stack}},
        "validate": {"parameters": {"lint": True}},
        "build": {"parameters": {"build_in_source": True, "parallel": True}},
        "deploy": {
            "parameters": {
                "capabilities": "CAPABILITY_IAM",
                "confirm_changeset": True,
                "resolve_s3": True,
                "parameter_overrides": [
                    f"MerchantSecretName={stack}/merchant",
                    f"MerchantKeySecretName={stack}/merchant-key",
                    f"VendorsSecretNames={stack}/vendors,{stack}/vendors-2",
                    "Days=7",
                    "Limit=10",
                ],
            }
        },
    }


GOOD = {"version": 0.1, "default": environment("gateway"), "staging": environment("staging"), "prod": environment("prod")}
PROD = "[prod.deploy.parameters] parameter_overrides"


def changed(*path, to=None):
    """Return GOOD with another value at path, or without what is there."""
    config = copy.deepcopy(GOOD)
    node = config
    for name in path[:-1]:
        node = node.setdefault(name, {}) if isinstance(node, dict) else node[name]
    if to is None:
        del node[path[-1]]
    else:
        node[path[-1]] = to
    return config


def overridden(at, to):
    return changed("prod", "deploy", "parameters", "parameter_overrides", at, to=to)


class Problems(unittest.TestCase):
    def test_good(self):
        self.assertEqual(list(problems(GOOD, TEMPLATE)), [])

    def test_more_merchants(self):
        config = copy.deepcopy(GOOD)
        config["prod-1900000109"] = environment("prod-1900000109")
        template = copy.deepcopy(TEMPLATE)
        del template["Parameters"]["MerchantSecretName"]["AllowedPattern"]
        self.assertEqual(list(problems(config, template)), [])

    def test_one_mutation(self):
        rows = [
            ("version", changed("version", to=0.2), "version must be 0.1"),
            (
                "environment",
                changed("production", to={}),
                "[production]: an environment is default, staging or prod, or one of the latter with a mchid: prod-1900000109",
            ),
            ("no environment", changed("staging"), "[staging]: there is no such environment"),
            ("command", changed("default", "biuld", to={}), "[default.biuld]: not an allowed command"),
            (
                "section",
                changed("default", "build", "parameter", to={}),
                "[default.build.parameter]: must be parameters",
            ),
            (
                "key",
                changed("default", "build", "parameters", "paralel", to=True),
                "[default.build.parameters] paralel: not an allowed key",
            ),
            (
                "type",
                changed("default", "build", "parameters", "parallel", to="true"),
                "[default.build.parameters] parallel: must be of type bool",
            ),
            (
                "required",
                changed("staging", "validate", "parameters", "lint", to=False),
                "[staging.validate.parameters] lint: must be true",
            ),
            (
                "required and absent",
                changed("prod", "build", "parameters", "build_in_source"),
                "[prod.build.parameters] build_in_source: must be true",
            ),
            (
                "capabilities",
                changed("prod", "deploy", "parameters", "capabilities", to="CAPABILITY_NAMED_IAM"),
                "[prod.deploy.parameters] capabilities: must be CAPABILITY_IAM",
            ),
            (
                "another environment's stack",
                changed("prod", "global", "parameters", "stack_name", to="wechat-parking-staging"),
                "[prod.global.parameters] stack_name: must be wechat-parking-prod",
            ),
            (
                "unseen change set",
                changed("prod", "deploy", "parameters", "confirm_changeset", to=False),
                "[prod.deploy.parameters] confirm_changeset: must be true",
            ),
            ("misspelled parameter", overridden(3, "Dayz=7"), f"{PROD}: Dayz is no parameter of the template"),
            ("parameter without a value", overridden(3, "Days"), f"{PROD}: Days must be Name=Value"),
            ("parameter twice", overridden(3, "Limit=9"), f"{PROD}: Limit is there twice"),
            ("not allowed", overridden(3, "Days=8"), f"{PROD}: Days is not one of 7, 14"),
            ("too large", overridden(4, "Limit=11"), f"{PROD}: Limit is not between its MinValue and MaxValue"),
            ("too small", overridden(4, "Limit=1"), f"{PROD}: Limit is not between its MinValue and MaxValue"),
            ("no number", overridden(4, "Limit=ten"), f"{PROD}: Limit must be a number"),
            ("pattern", overridden(0, "MerchantSecretName=wechat-parking-prod/Merchant"), f"{PROD}: MerchantSecretName must be a name"),
            (
                "too long",
                overridden(0, "MerchantSecretName=wechat-parking-prod/merchant-merchant-mer"),
                f"{PROD}: MerchantSecretName is longer than 40 characters",
            ),
            (
                "another stack's secret",
                overridden(2, "VendorsSecretNames=wechat-parking-prod/vendors,wechat-parking-staging/vendors"),
                f"{PROD}: VendorsSecretNames must begin with wechat-parking-prod/, so that no two stacks share a secret",
            ),
        ]
        for name, config, want in rows:
            with self.subTest(name):
                self.assertEqual(list(problems(config, TEMPLATE)), [want])


if __name__ == "__main__":
    unittest.main()
