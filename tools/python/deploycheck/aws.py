"""Call the emulated AWS: by operation, with properties as CloudFormation writes them."""

import functools
import json

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ACCOUNT = "123456789012"  # moto's only one

# One try: what fails here fails again.
_CONFIG = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


class Lacking(Exception):
    """The emulator does not know the operation."""


class Refused(Exception):
    """The service refused the call, or its operation has no such parameter."""


class Aws:
    """The services of one region."""

    def __init__(self, endpoint, region):
        self.endpoint = endpoint
        self.region = region
        self.partition = "aws-cn" if region.startswith("cn-") else "aws"
        self.url_suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"

    @functools.lru_cache(maxsize=None)
    def client(self, service):
        """Return the client of a service."""
        return boto3.client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id="emulated",
            aws_secret_access_key="emulated",
            config=_CONFIG,
        )

    def call(self, service, operation, properties=None, **more):
        """Call an operation. Names of properties may differ from the API's in case alone; values may be strings."""
        client = self.client(service)
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
        given = {**(properties or {}), **more}
        fitted = fit(model.input_shape, given, operation) if given else {}
        try:
            answer = getattr(client, operation)(**fitted)
        except ClientError as e:
            # moto's own page, and not an error of the service's: no such path, or not implemented.
            if e.response["Error"]["Code"] in ("404", "405", "500", "501"):
                raise Lacking(f"{service}:{operation}") from e
            raise Refused(str(e)) from e
        except BotoCoreError as e:
            raise Refused(str(e)) from e
        answer.pop("ResponseMetadata", None)
        return answer

    def found(self, service, operation, properties=None, **more):
        """Call an operation that reads; return None if the service says that there is no such thing."""
        try:
            return self.call(service, operation, properties, **more)
        except Refused as e:
            code = getattr(e.__cause__, "response", {}).get("Error", {}).get("Code", "")
            if any(word in code for word in ("NotFound", "NoSuch", "NonExistent", "DoesNotExist")):
                return None
            raise

    def pages(self, service, operation, key, **given):
        """Return the items of every page of a listing."""
        client = self.client(service)
        try:
            if client.can_paginate(operation):
                return [
                    item for page in client.get_paginator(operation).paginate(**given) for item in page.get(key, [])
                ]
            return getattr(client, operation)(**given).get(key, [])
        except ClientError as e:
            raise Refused(str(e)) from e


def fit(shape, value, path):
    """Return value as the API's shape wants it."""
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            raise Refused(f"{path} must be an object")
        members = {name.lower(): name for name in shape.members}
        fitted = {}
        for name, item in value.items():
            if name.lower() not in members:
                raise Refused(f"{path} has no property {name}")
            member = members[name.lower()]
            fitted[member] = fit(shape.members[member], item, f"{path}.{name}")
        return fitted
    if kind == "list":
        if not isinstance(value, list):
            raise Refused(f"{path} must be a list")
        return [fit(shape.member, item, f"{path}[{i}]") for i, item in enumerate(value)]
    if kind == "map":
        return {name: fit(shape.value, item, f"{path}.{name}") for name, item in value.items()}
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "boolean":
        if str(value).lower() not in ("true", "false"):
            raise Refused(f"{path} must be true or false")
        return str(value).lower() == "true"
    if kind == "string":
        if isinstance(value, (dict, list)):
            return json.dumps(value, separators=(",", ":"), sort_keys=True)
        return ("true" if value else "false") if isinstance(value, bool) else str(value)
    return value
