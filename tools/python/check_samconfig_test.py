"""Tests of check_samconfig: every row is one mutation of a config that passes."""

import copy
import unittest

from check_samconfig import problems

GOOD = {
    "version": 0.1,
    "default": {
        "global": {"parameters": {"stack_name": "gateway"}},
        "validate": {"parameters": {"lint": True}},
        "build": {"parameters": {"build_in_source": True, "parallel": True}},
    },
}


class Problems(unittest.TestCase):
    def test_good(self):
        self.assertEqual(list(problems(GOOD)), [])

    def test_one_mutation(self):
        def put(value, *path):
            config = copy.deepcopy(GOOD)
            node = config
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node[path[-1]] = value
            return config

        rows = [
            ("version", put(0.2, "version"), "version must be 0.1"),
            ("environment", put({}, "defualt"), "[defualt]: the only environment is default"),
            ("command", put({}, "default", "biuld"), "[default.biuld]: not an allowed command"),
            (
                "section",
                put({}, "default", "build", "parameter"),
                "[default.build.parameter]: must be parameters",
            ),
            (
                "key",
                put(True, "default", "build", "parameters", "paralel"),
                "[default.build.parameters] paralel: not an allowed key",
            ),
            (
                "type",
                put("true", "default", "build", "parameters", "parallel"),
                "[default.build.parameters] parallel: must be of type bool",
            ),
            (
                "required",
                put(False, "default", "validate", "parameters", "lint"),
                "[default.validate.parameters] lint: must be true",
            ),
        ]
        for name, config, want in rows:
            with self.subTest(name):
                self.assertEqual(list(problems(config)), [want])


if __name__ == "__main__":
    unittest.main()
