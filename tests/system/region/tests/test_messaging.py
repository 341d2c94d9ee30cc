"""SNS and EventBridge reach an HTTP endpoint as AWS reaches it."""

from __future__ import annotations

import base64
import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from .case import TERMINATING, RegionCase, client, endpoint


class Endpoint(RegionCase):
    """Somebody who listens, and keeps what he is told."""

    def setUp(self) -> None:
        super().setUp()
        self.heard = heard = []

        class Listener(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                heard.append((dict(self.headers), body.decode()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        listener = HTTPServer(("127.0.0.1", 0), Listener)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        self.addCleanup(listener.server_close)
        self.addCleanup(listener.shutdown)
        self.url = f"http://127.0.0.1:{listener.server_port}/hook"

    def next(self) -> tuple[dict[str, str], Any]:
        self.until(lambda: len(self.heard) > 0)
        headers, body = self.heard.pop(0)
        return headers, json.loads(body)

    def check_signature(self, message: dict[str, Any], names: tuple[str, ...]) -> None:
        file = message["SigningCertURL"].removeprefix("https://sns.eu-west-1.amazonaws.com/")
        with urllib.request.urlopen(f"{endpoint()}/{file}") as answer:
            key = x509.load_pem_x509_certificate(answer.read()).public_key()
        signed = "".join(f"{name}\n{message[name]}\n" for name in names).encode()
        digest = hashes.SHA256() if message["SignatureVersion"] == "2" else hashes.SHA1()
        key.verify(base64.b64decode(message["Signature"]), signed, padding.PKCS1v15(), digest)


class Topics(Endpoint):
    def test_a_subscription_is_confirmed_before_anything_is_sent(self) -> None:
        sns = client("sns")
        topic = sns.create_topic(Name=self.name("topic"))["TopicArn"]
        sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue="2")
        answer = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=self.url)
        self.assertEqual(answer["SubscriptionArn"], "pending confirmation")
        headers, asked = self.next()
        self.assertEqual(headers["x-amz-sns-message-type"], "SubscriptionConfirmation")
        confirmation = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
        self.check_signature(asked, confirmation)
        sns.publish(TopicArn=topic, Message="too early")
        self.refused("InvalidParameter", sns.confirm_subscription, TopicArn=topic, Token="guessed")
        arn = sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])["SubscriptionArn"]
        sns.publish(TopicArn=topic, Message="hello", Subject="greeting")
        headers, told = self.next()
        self.assertEqual((told["Message"], headers["x-amz-sns-subscription-arn"]), ("hello", arn))
        self.check_signature(told, ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"))
        self.assertEqual(self.heard, [])

    def test_a_hook_speaks_through_a_topic(self) -> None:
        sns = client("sns")
        topic = sns.create_topic(Name=self.name("topic"))["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=self.url)
        sns.confirm_subscription(TopicArn=topic, Token=self.next()[1]["Token"])
        group = self.group(1)
        self.scaling.put_lifecycle_hook(
            AutoScalingGroupName=group,
            **self.hook(TERMINATING),
            NotificationTargetARN=topic,
            RoleARN="arn:aws:iam::1:role/r",
        )
        _, told = self.next()
        self.assertEqual(json.loads(told["Message"])["Event"], "autoscaling:TEST_NOTIFICATION")
        self.check_signature(told, ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"))


class Destinations(Endpoint):
    def test_an_event_is_posted_with_its_key_and_a_fault_loses_or_doubles_it(self) -> None:
        key = {"ApiKeyAuthParameters": {"ApiKeyName": "x-wharf-key", "ApiKeyValue": "open"}}
        connection = self.events.create_connection(
            Name=self.name("connection"), AuthorizationType="API_KEY", AuthParameters=key
        )["ConnectionArn"]
        destination = self.events.create_api_destination(
            Name=self.name("destination"),
            ConnectionArn=connection,
            InvocationEndpoint=self.url,
            HttpMethod="POST",
        )["ApiDestinationArn"]
        rule = self.name("rule")
        self.events.put_rule(Name=rule, EventPattern=json.dumps({"source": ["mine"]}), State="ENABLED")
        self.events.put_targets(
            Rule=rule, Targets=[{"Id": "1", "Arn": destination, "RoleArn": "arn:aws:iam::1:role/r"}]
        )
        self.control("POST", "faults", kind="delivery", effect="lose", times=1)
        self.control("POST", "faults", kind="delivery", effect="double", times=1)
        for number in range(2):
            entry = {"Source": "mine", "DetailType": "number", "Detail": json.dumps({"number": number})}
            self.events.put_events(Entries=[entry])
        for _ in range(2):
            headers, event = self.next()
            self.assertEqual((headers["x-wharf-key"], event["detail"]), ("open", {"number": 1}))
            self.assertEqual(event["account"], "123456789012")
