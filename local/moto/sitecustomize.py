# Python imports this before moto_server starts. moto deletes a message by building the queue's list anew, without the lock
# under which another thread appends: what is sent meanwhile is lost, after SQS has accepted it. SQS loses nothing.
from moto.sqs.models import Queue

unlocked = Queue.delete_message


def delete_message(self, receipt_handle):
    with self._messages_lock:  # a Condition's own lock may be taken again by its holder
        unlocked(self, receipt_handle)


Queue.delete_message = delete_message
