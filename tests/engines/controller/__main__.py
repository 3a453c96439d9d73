"""OpenWISP's controller: serves devices on ADDRESS PORT, and does what lines of JSON on stdin ask, as a person does on
its pages. Each is answered by a line: {"done": ...} or {"refused": "why"}.

    ["devices", [[NAME, MAC], ...]]     makes them; answers {NAME: [ID, KEY]}
    ["template", NAME, CONFIG]          makes a template, or changes it
    ["kept", NAME]                      answers [where its page is, CONFIG] of a template
    ["person", NAME, PASSWORD]          makes somebody who may do all
    ["assign", TEMPLATE, [NAME, ...]]   gives these devices the template, and no other
    ["status", []]                      answers {NAME: "modified", "applied" or "error"}
    ["reasons", []]                     answers {NAME: what the device reported with an error}
    ["reached", NAME, KEY]              from now on sends commands to this device by ssh, with a private key
    ["command", NAME, TYPE, INPUT]      has one done there; answers [status, output]
    ["alone", NAME]                     sends it no more commands
    ["monitoring", DATA]                judges what openwisp-monitoring would get from a device
"""

import json
import os
import sys
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import celery  # noqa: E402
import django  # noqa: E402

# Its tasks are done at once, in the process that asks for them.
work = celery.Celery("controller", broker="memory://")
work.conf.task_always_eager = True
work.set_default()
django.setup()

from django.contrib.staticfiles.handlers import StaticFilesHandler  # noqa: E402
from django.core.exceptions import ValidationError  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection  # noqa: E402
from django.urls import reverse  # noqa: E402
from jsonschema import draft7_format_checker, validate  # noqa: E402
from jsonschema.exceptions import ValidationError as SchemaError  # noqa: E402
from openwisp_controller.config.models import Config, Device, Template  # noqa: E402
from openwisp_controller.connection.models import Command, Credentials, DeviceConnection  # noqa: E402
from openwisp_monitoring.device.schema import schema  # noqa: E402
from openwisp_users.models import Organization, User  # noqa: E402

BACKEND = "viscum_openwisp.OpenWrt"
SSH = "openwisp_controller.connection.connectors.ssh.Ssh"


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

    def address_string(self):
        return self.client_address[0]  # no name is asked for


def devices(wanted):
    home, _ = Organization.objects.get_or_create(name="home", slug="home")
    found = {}
    for name, mac in wanted:
        device = Device(name=name, mac_address=mac, organization=home)
        device.full_clean()
        device.save()
        config = Config(device=device, backend=BACKEND, config={})
        config.full_clean()
        config.save()
        found[name] = [str(device.pk), device.key]
    return found


def template(name, config):
    found = Template.objects.filter(name=name).first() or Template(name=name, type="generic", backend=BACKEND)
    found.config = config
    found.full_clean()
    found.save()


def kept(name):
    found = Template.objects.get(name=name)
    return reverse("admin:config_template_change", args=[found.pk]), found.config


def person(name, password):
    User.objects.create_superuser(name, name + "@example.org", password)


def assign(name, names):
    wanted = Template.objects.get(name=name)
    for config in Config.objects.filter(device__name__in=names):
        config.templates.set([wanted])


def status(_):
    return dict(Config.objects.values_list("device__name", "status"))


def reasons(_):
    return dict(Config.objects.values_list("device__name", "error_reason"))


def reached(name, key):
    device = Device.objects.get(name=name)
    params = {"username": "root", "key": key, "port": 22}
    credentials = Credentials(name=name, connector=SSH, params=params, organization=device.organization)
    credentials.full_clean()
    credentials.save()
    way = DeviceConnection(device=device, credentials=credentials)
    way.full_clean()
    way.save()


def command(name, kind, words):
    made = Command(device=Device.objects.get(name=name), type=kind, input=words)
    made.save()
    made.refresh_from_db()
    return made.status, made.output


def alone(name):
    Credentials.objects.filter(name=name).delete()


def monitoring(data):
    validate(data, schema, format_checker=draft7_format_checker)  # as DeviceData.validate_data


DO = {
    each.__name__: each
    for each in (devices, template, kept, person, assign, status, reasons, reached, command, alone, monitoring)
}


def main(address, port):
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:  # all of it is in the file then, which the test keeps
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    server = Server((address, int(port)), Quiet)
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"done": "serves"}), flush=True)
    for line in sys.stdin:
        name, *args = json.loads(line)
        try:
            answer = {"done": DO[name](*args)}
        except ValidationError as error:
            answer = {"refused": "\n".join(error.messages)}
        except SchemaError as error:
            answer = {"refused": error.message}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
