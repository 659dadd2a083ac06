"""Serve AWS on 127.0.0.1: moto's services, and the CloudFormation of this package."""

import logging
import os
import re
import threading
import traceback

from moto.core.serialize import QuerySerializer
from moto.awslambda.models import LambdaStorage
from moto.core.parse import QueryParser
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.datastructures import MultiDict
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from .aws import Aws
from .cloudformation import CloudFormation, Error


def number_versions_once():
    """Mend moto, which gives the number of a version that was deleted to the next one. Lambda never does."""
    publish = LambdaStorage.publish_version
    if publish.__name__ == "publish_once":
        return
    highest = {}

    def publish_once(self, name_or_arn, description=""):
        function = self.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
        versions = self._functions[function.function_name]["versions"]
        before = len(versions)
        made = publish(self, name_or_arn, description)
        if len(versions) > before:
            key = (id(self), function.function_arn)
            highest[key] = highest.get(key, 0) + 1
            self._arns.pop(made.function_arn)
            made.set_version(highest[key])
            self._arns.update({version.function_arn: version for version in versions})
        return made

    LambdaStorage.publish_version = publish_once


_CREDENTIAL = re.compile(r"Credential=[^/]+/\d+/[^/]+/cloudformation/aws4_request")


class Emulator:
    """AWS in one region, in a thread of this process. A context manager."""

    def __init__(self, region):
        number_versions_once()
        # moto and the SAM transform look here.
        os.environ.update(AWS_DEFAULT_REGION=region, AWS_REGION=region, MOTO_IAM_LOAD_MANAGED_POLICIES="true")
        for name in ("werkzeug", "samtranslator"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True)
        # With this name in place of the address, what the SAM CLI makes of a bucket's URL is right.
        self.endpoint = f"http://localhost:{self._server.server_port}"
        self.aws = Aws(self.endpoint, region)
        self._cloudformation = CloudFormation(self.aws)
        self._model = get_service_model("cloudformation")
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self, environ, start_response):
        if _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", "")):
            return self._answer(Request(environ))(environ, start_response)
        try:
            return self._moto(environ, start_response)
        except NotImplementedError as e:
            return Response(str(e), 501)(environ, start_response)

    def _answer(self, request):
        form = MultiDict(request.form)
        action = form.get("Action", "")
        operation = self._model.operation_model(action)
        serializer = QuerySerializer(operation)
        function = getattr(self._cloudformation, re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower(), None)
        try:
            if function is None:
                raise Error(f"{action} is not known here: add it to deploycheck/cloudformation.py")
            given = QueryParser(operation).parse({"values": form})
            with self._lock:
                answer = serializer.serialize(function(**given))
        except Error as e:
            return self._error(400, e.code, str(e))
        except Exception as e:  # a fault of the emulator's is shown, and fails the deployment
            traceback.print_exc()
            return self._error(400, "InternalFailure", f"{type(e).__name__}: {e}")
        return Response(answer["body"], answer["status_code"], content_type="text/xml")

    @staticmethod
    def _error(status, code, message):
        text = message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
        return Response(body, status, content_type="text/xml")
