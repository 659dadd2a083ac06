"""Evaluate the intrinsic functions of a CloudFormation template."""

import base64
import re

NO_VALUE = object()


class TemplateError(Exception):
    """The template or its parameters cannot be deployed; the message says why."""


def parameters(template, given):
    """Return the values of template's parameters, as CloudFormation checks them. given holds strings by name."""
    declared = template.get("Parameters", {})
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {}
    for name, p in declared.items():
        value = given.get(name, p.get("Default"))
        if value is None:
            raise TemplateError(f"Parameters: [{name}] must have values")
        text = _text(value)
        rule = p.get("ConstraintDescription", "")
        items = text.split(",") if p["Type"].startswith(("List<", "CommaDelimitedList")) else [text]
        for item in items:
            if "AllowedPattern" in p and not re.fullmatch(p["AllowedPattern"], item):
                raise TemplateError(f"Parameter {name} failed to satisfy constraint: {rule or p['AllowedPattern']}")
            if "AllowedValues" in p and item not in [_text(v) for v in p["AllowedValues"]]:
                raise TemplateError(f"Parameter {name} must be one of {p['AllowedValues']}")
        if p["Type"] == "Number":
            number = float(text)
            if number < float(p.get("MinValue", number)) or number > float(p.get("MaxValue", number)):
                raise TemplateError(f"Parameter {name} is out of its range. {rule}")
        if not int(p.get("MinLength", 0)) <= len(text) <= int(p.get("MaxLength", len(text))):
            raise TemplateError(f"Parameter {name} has not the length that it must have. {rule}")
        values[name] = text
    return values


class Evaluator:
    """Evaluates parts of one template with one set of parameters."""

    def __init__(self, template, values, pseudo, ref, get_att):
        """ref(logical id) and get_att(logical id, attribute) say what a resource's are."""
        self._template = template
        self._values = values
        self._pseudo = pseudo
        self._ref = ref
        self._get_att = get_att

    def condition(self, name):
        """Say whether the template's condition of this name holds."""
        conditions = self._template.get("Conditions", {})
        if name not in conditions:
            raise TemplateError(f"Template error: no condition {name}")
        return self._holds(conditions[name])

    def check_rules(self):
        """Raise TemplateError with the description of the first of the template's rules that does not hold."""
        for rule in self._template.get("Rules", {}).values():
            if "RuleCondition" in rule and not self._holds(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self._holds(assertion["Assert"]):
                    raise TemplateError(assertion.get("AssertDescription", "a rule of the template does not hold"))

    def exists(self, resource):
        """Say whether a resource's condition lets it be made."""
        return "Condition" not in resource or self.condition(resource["Condition"])

    def value(self, node):
        """Return node with every function in it evaluated. What is AWS::NoValue is left out."""
        if isinstance(node, list):
            return [v for v in map(self.value, node) if v is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument), *_ = node.items()
            if name == "Ref":
                return self._refer(argument)
            if name.startswith("Fn::"):
                function = getattr(self, "_fn_" + re.sub(r"(?<!^)(?=[A-Z])", "_", name[4:]).lower(), None)
                if function is None:
                    raise TemplateError(f"{name} is not known here: add it to deploycheck/intrinsics.py")
                return function(argument)
        values = {k: self.value(v) for k, v in node.items()}
        return {k: v for k, v in values.items() if v is not NO_VALUE}

    def _holds(self, node):
        if not isinstance(node, dict) or len(node) != 1:
            raise TemplateError(f"not a condition: {node}")
        (name, argument), *_ = node.items()
        if name == "Condition":
            return self.condition(argument)
        if name == "Fn::Not":
            return not self._holds(argument[0])
        if name == "Fn::And":
            return all(map(self._holds, argument))
        if name == "Fn::Or":
            return any(map(self._holds, argument))
        if name == "Fn::Equals":
            left, right = map(self.value, argument)
            return _text(left) == _text(right)
        raise TemplateError(f"{name} in a condition is not known here: add it to deploycheck/intrinsics.py")

    def _refer(self, name):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name.startswith("AWS::"):
            if name not in self._pseudo:
                raise TemplateError(f"pseudo parameter {name} is not known here: add it to deploycheck/intrinsics.py")
            return self._pseudo[name]
        if name in self._values:
            kind = self._template["Parameters"][name]["Type"]
            text = self._values[name]
            return text.split(",") if kind.startswith(("List<", "CommaDelimitedList")) else text
        return self._ref(name)

    def _fn_get_att(self, argument):
        name, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
        return self._get_att(name, attribute)

    def _fn_if(self, argument):
        name, yes, no = argument
        return self.value(yes if self.condition(name) else no)

    def _fn_join(self, argument):
        return argument[0].join(map(_text, self.value(argument[1])))

    def _fn_split(self, argument):
        return self.value(argument[1]).split(argument[0])

    def _fn_select(self, argument):
        return self.value(argument[1])[int(self.value(argument[0]))]

    def _fn_find_in_map(self, argument):
        table, first, second = map(self.value, argument)
        return self.value(self._template["Mappings"][table][first][second])

    def _fn_base64(self, argument):
        return base64.b64encode(self.value(argument).encode()).decode()

    def _fn_sub(self, argument):
        text, own = argument if isinstance(argument, list) else (argument, {})
        own = self.value(own)

        def replace(match):
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in own:
                return _text(own[name])
            return _text(self._fn_get_att(name) if "." in name else self._refer(name))

        return re.sub(r"\$\{([^}]+)\}", replace, text)


def _text(value):
    """Return a scalar as CloudFormation writes it into a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
