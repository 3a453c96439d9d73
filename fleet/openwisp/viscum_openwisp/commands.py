"""What OpenWISP's controller can have done on a router, beside what it brings: a device's page, "Send Command".

    OPENWISP_CONTROLLER_USER_COMMANDS = viscum_openwisp.commands.COMMANDS

The controller judges what was filled in by a command's schema, and sends by ssh, as root, the text that its function
makes of that: so the schema takes nothing but names as Viscum has them, and the function quotes them all the same.
"""

from shlex import quote

from viscum_agent.config.service import MAX_NAME

_SERVICE = {
    "type": "string",
    "title": "Service",
    "description": "its section's name; empty: all",
    "maxLength": MAX_NAME,
    "pattern": r"^[A-Za-z0-9_]*(?!\n)$",  # Python's $ is before a last line end as well
}
CLOUD, SERVICE = "the cloud", "the service"  # whom clients may reach


def _form(title, question, **more):
    """A command's schema with a service in it."""
    more.setdefault("properties", {})["service"] = _SERVICE
    return {
        "type": "object",
        "title": title,
        "confirmation_message": question,
        "message": "A service's name has letters, digits and _",
        "additionalProperties": False,
        **more,
    }


def status(service=""):
    return "viscum status %s" % (quote(service) if service else "")


def bypass(clients_reach, service=""):
    whose = quote(service) if service else "--all"
    return "viscum bypass %s%s" % ("" if clients_reach == CLOUD else "--off ", whose)


def doctor():
    return "viscum doctor"


# The controller keeps 16 letters of a command's name.
COMMANDS = [
    (
        "viscum_status",
        {
            "label": "Viscum: status",
            "schema": _form("Viscum: status", "Ask this router for the state of its services?"),
            "callable": status,
        },
    ),
    (
        "viscum_bypass",
        {
            "label": "Viscum: bypass",
            "schema": _form(
                "Viscum: bypass",
                "Change whom the clients of this router reach?",
                required=["clients_reach"],
                properties={
                    "clients_reach": {"type": "string", "title": "Clients reach", "enum": [CLOUD, SERVICE]},
                },
            ),
            "callable": bypass,
        },
    ),
    (
        "viscum_doctor",
        {
            "label": "Viscum: doctor",
            "schema": {
                "type": "null",
                "title": "Viscum: doctor",
                "confirmation_message": "Look what on this router is in the way of services?",
            },
            "callable": doctor,
        },
    ),
]
