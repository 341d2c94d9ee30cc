"""An instance learns who it is and what is about to happen to it, and can prove it."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from region import metadata
from region.nodes import settings_of

from .case import RegionCase, client, endpoint, running


class Metadata(RegionCase):
    def launched(self, **data: Any) -> str:
        """A member of a group, launched from a template with this."""
        template = {"LaunchTemplateName": self.template(**data), "Version": "1"}
        tags = [{"Key": "wharf-pool", "Value": "web", "PropagateAtLaunch": True}]
        return self.members(self.group(1, LaunchTemplate=template, Tags=tags))[0]["InstanceId"]

    def test_user_data_that_is_a_script_says_nothing_to_an_agent(self) -> None:
        lines = "WHARF_ADDR=10.0.0.1:7421\nOTHER=x\n"
        self.assertEqual(settings_of(lines), {"WHARF_ADDR": "10.0.0.1:7421"})
        self.assertEqual(settings_of("#!/bin/sh\n" + lines), {})

    def test_nothing_is_said_without_a_token(self) -> None:
        one = self.launched(MetadataOptions={"HttpTokens": "required"})
        path = f"{endpoint()}/imds/{one}/latest/meta-data/instance-id"
        self.assertEqual(self._fetch("GET", path, {}), 401)
        self.assertEqual(self._fetch("GET", path, {"X-aws-ec2-metadata-token": "made-up"}), 401)
        token = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        tokens = f"{endpoint()}/imds/{one}/latest/api/token"
        self.assertEqual(self._fetch("PUT", tokens, {**token, "X-Forwarded-For": "10.0.0.1"}), 403)
        self.assertEqual(self._fetch("PUT", tokens, {}), 400)
        self.assertEqual(self.imds(one, "meta-data/instance-id"), one)

    def test_it_answers_at_an_address_that_is_the_instance_s_own(self) -> None:
        one, other = self.launched(), self.launched()
        addresses = [metadata.give_address(instance, number) for number, instance in enumerate((one, other))]
        for address, instance in zip(addresses, (one, other)):
            latest = f"{running().listen(address)}/latest"
            self.addCleanup(running().leave, address)
            token = self._fetch("PUT", f"{latest}/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
            headers = {"X-aws-ec2-metadata-token": str(token)}
            self.assertEqual(self._fetch("GET", f"{latest}/meta-data/instance-id", headers), instance)

    def test_it_says_what_the_apis_say(self) -> None:
        user_data = base64.b64encode(b"WHARF_ADDR=coordinator:7421\n").decode()
        one = self.launched(UserData=user_data, MetadataOptions={"InstanceMetadataTags": "enabled"})
        shown = self.instance(one)
        wanted = {
            "meta-data/ami-id": shown["ImageId"],
            "meta-data/instance-type": shown["InstanceType"],
            "meta-data/local-ipv4": shown["PrivateIpAddress"],
            "meta-data/placement/availability-zone": shown["Placement"]["AvailabilityZone"],
            "meta-data/placement/region": "eu-west-1",
            "meta-data/instance-life-cycle": "on-demand",
            "meta-data/autoscaling/target-lifecycle-state": "InService",
            "meta-data/tags/instance/wharf-pool": "web",
            "meta-data/placement": "availability-zone\nregion",
            "user-data": "WHARF_ADDR=coordinator:7421\n",
            "meta-data/spot/instance-action": 404,
            "meta-data/events/recommendations/rebalance": 404,
            "meta-data/iam/security-credentials/": 404,
        }
        self.assertEqual({path: self.imds(one, path) for path in wanted}, wanted)

    def test_its_document_is_signed_by_the_region(self) -> None:
        one = self.launched()
        document = str(self.imds(one, "dynamic/instance-identity/document"))
        said = json.loads(document)
        self.assertEqual((said["instanceId"], said["region"], said["accountId"]), (one, "eu-west-1", "123456789012"))
        signature = self.imds(one, "dynamic/instance-identity/rsa2048")
        with urllib.request.urlopen(f"{endpoint()}/control/identity-certificate") as answer:
            certificate = answer.read()
        with tempfile.TemporaryDirectory() as folder:
            p7, pem = Path(folder, "p7"), Path(folder, "pem")
            p7.write_text(f"-----BEGIN PKCS7-----\n{signature}\n-----END PKCS7-----\n")
            pem.write_bytes(certificate)
            verify = ["openssl", "smime", "-verify", "-inform", "PEM", "-in", str(p7), "-certfile", str(pem)]
            done = subprocess.run([*verify, "-noverify", "-nointern"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, document), done.stderr)

    def test_the_credentials_of_its_role_say_which_instance_it_is(self) -> None:
        one = self.launched(IamInstanceProfile={"Name": "web"})
        base = "meta-data/iam/security-credentials"
        self.assertEqual(self.imds(one, f"{base}/"), "web")
        for path, role in (
            (f"{base}/web", "web"),
            ("meta-data/identity-credentials/ec2/security-credentials/ec2-instance", "aws:ec2-instance"),
        ):
            given = json.loads(str(self.imds(one, path)))
            keys = {
                "aws_access_key_id": given["AccessKeyId"],
                "aws_secret_access_key": given["SecretAccessKey"],
                "aws_session_token": given["Token"],
            }
            who = client("sts", **keys).get_caller_identity()
            self.assertEqual(who["Arn"], f"arn:aws:sts::123456789012:assumed-role/{role}/{one}")
            forged = {**keys, "aws_secret_access_key": "guessed"}
            self.refused("SignatureDoesNotMatch", client("sts", **forged).get_caller_identity)
            forged = {**keys, "aws_session_token": "guessed"}
            self.refused("InvalidClientTokenId", client("sts", **forged).get_caller_identity)

    def test_a_signed_question_says_who_asks_wherever_it_is_sent_from(self) -> None:
        """As a node shows a coordinator who it is: it signs, with a header of the coordinator's, and another sends."""
        one = self.launched(IamInstanceProfile={"Name": "web"})
        given = json.loads(str(self.imds(one, "meta-data/iam/security-credentials/web")))
        keys = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["Token"])
        body = "Action=GetCallerIdentity&Version=2011-06-15"
        headers = {"content-type": "application/x-www-form-urlencoded", "x-wharf-audience": "cluster/one"}
        signed = AWSRequest("POST", "https://sts.eu-west-1.amazonaws.com/", headers=headers, data=body)
        SigV4Auth(keys, "sts", "eu-west-1").add_auth(signed)
        sent = {**dict(signed.headers), "host": "sts.eu-west-1.amazonaws.com"}

        def ask(headers: dict[str, str]) -> str:
            try:
                with urllib.request.urlopen(urllib.request.Request(endpoint(), body.encode(), headers)) as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.read().decode()

        self.assertIn(f"<Arn>arn:aws:sts::123456789012:assumed-role/web/{one}</Arn>", ask(sent))
        self.assertIn("SignatureDoesNotMatch", ask({**sent, "x-wharf-audience": "cluster/two"}))

    def test_a_spot_instance_is_told_two_minutes_before_it_goes(self) -> None:
        heard = self.rule(source=["aws.ec2"])
        one = self.launched(InstanceMarketOptions={"MarketType": "spot"})
        self.assertEqual(self.imds(one, "meta-data/instance-life-cycle"), "spot")
        self.control("POST", f"instances/{one}/rebalance")
        self.assertIn("noticeTime", str(self.imds(one, "meta-data/events/recommendations/rebalance")))
        self.control("POST", f"instances/{one}/spot-interruption")
        self.assertEqual(json.loads(str(self.imds(one, "meta-data/spot/instance-action")))["action"], "terminate")
        told = {message["detail-type"]: message["detail"] for message in self.messages(heard)}
        self.assertEqual(
            told,
            {
                "EC2 Instance Rebalance Recommendation": {"instance-id": one},
                "EC2 Spot Instance Interruption Warning": {"instance-id": one, "instance-action": "terminate"},
            },
        )
        self.advance(119)
        self.assertEqual(self.state(one), "running")
        self.advance(2)
        self.until(lambda: self.state(one), "terminated")
        self.assertEqual(self.instance(one)["StateReason"]["Code"], "Server.SpotInstanceTermination")

    def test_maintenance_is_announced_in_all_places(self) -> None:
        heard, one = self.rule(source=["aws.health"]), self.launched()
        self.control("POST", f"instances/{one}/scheduled-event", code="system-reboot")
        told = json.loads(str(self.imds(one, "meta-data/events/maintenance/scheduled")))
        status = self.ec2.describe_instance_status(InstanceIds=[one])["InstanceStatuses"][0]
        self.assertEqual((told[0]["Code"], status["Events"][0]["Code"]), ("system-reboot", "system-reboot"))
        self.assertEqual(self.messages(heard)[0]["detail"]["affectedEntities"], [{"entityValue": one}])
