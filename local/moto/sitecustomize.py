# Python imports this before moto_server starts.
import threading

from moto.secretsmanager.models import SecretsManagerBackend
from moto.sqs.models import Queue

# moto deletes a message by building the queue's list anew, without the lock under which another thread appends: what is
# sent meanwhile is lost, after SQS has accepted it. SQS loses nothing.
unlocked = Queue.delete_message


def delete_message(self, receipt_handle):
    with self._messages_lock:  # a Condition's own lock may be taken again by its holder
        unlocked(self, receipt_handle)


Queue.delete_message = delete_message

# moto looks for a secret's version and adds it in two steps, and moves the labels one after the other: two writers with one
# token both succeed, and who reads meanwhile finds no current version. Secrets Manager does each at once.
secrets_lock = threading.RLock()


def at_once(method):
    def locked(self, *args, **kwargs):
        with secrets_lock:
            return method(self, *args, **kwargs)

    return locked


for name in ("get_secret_value", "put_secret_value", "update_secret_version_stage"):
    setattr(SecretsManagerBackend, name, at_once(getattr(SecretsManagerBackend, name)))

# moto goes on taking the version that it wrote last for the current one when the label is moved, so that the next version
# leaves two current ones.
moved = SecretsManagerBackend.update_secret_version_stage


def update_secret_version_stage(self, secret_id, version_stage, remove_from_version_id, move_to_version_id):
    result = moved(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
    if version_stage == "AWSCURRENT" and move_to_version_id:
        self.secrets[secret_id].default_version_id = move_to_version_id
    return result


SecretsManagerBackend.update_secret_version_stage = update_secret_version_stage
