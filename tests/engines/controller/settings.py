"""A project of Django with OpenWISP's controller and nothing that runs beside it: no redis, no Celery."""

import os
from pathlib import Path

from viscum_openwisp.commands import COMMANDS

BASE_DIR = Path(os.environ["CONTROLLER_FOLDER"])
DEBUG = False
ALLOWED_HOSTS = ["*"]
SECRET_KEY = "of a test"
DATABASES = {
    "default": {
        "ENGINE": "openwisp_utils.db.backends.spatialite",
        "NAME": BASE_DIR / "controller.db",
        # Who is to write waits for others before it reads: SQLite refuses at once to let a reader become a writer while
        # somebody else writes.
        "OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
    }
}
SPATIALITE_LIBRARY_PATH = "mod_spatialite.so"
DJANGO = ("auth", "contenttypes", "sessions", "messages", "staticfiles", "gis", "humanize", "sites")
OPENWISP = ("config", "pki", "geo", "connection", "subnet_division")
INSTALLED_APPS = [
    *("django.contrib." + name for name in DJANGO),
    "openwisp_users.accounts",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "django_extensions",
    *("openwisp_controller." + name for name in OPENWISP),
    "openwisp_users",
    "openwisp_notifications",
    "openwisp_ipam",
    "openwisp_utils.admin_theme",
    "admin_auto_filters",
    "django.contrib.admin",
    "django.forms",
    "import_export",
    "sortedm2m",
    "reversion",
    "leaflet",
    "flat_json_widget",
    "rest_framework",
    "rest_framework.authtoken",
    "rest_framework_gis",
    "django_filters",
    "drf_yasg",
    "channels",
]
EXTENDED_APPS = ("django_x509", "django_loci")
AUTH_USER_MODEL = "openwisp_users.User"
SITE_ID = 1
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                "django.template.loaders.filesystem.Loader",
                "openwisp_utils.loaders.DependencyLoader",
                "django.template.loaders.app_directories.Loader",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "openwisp_utils.admin_theme.context_processor.menu_groups",
                "openwisp_utils.admin_theme.context_processor.admin_theme_settings",
                "openwisp_notifications.context_processors.notification_api_settings",
            ],
        },
    }
]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "openwisp_utils.staticfiles.DependencyFinder",
]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

OPENWISP_CONTROLLER_BACKENDS = (("viscum_openwisp.OpenWrt", "OpenWrt + Viscum"), ("netjsonconfig.OpenWrt", "OpenWrt"))
OPENWISP_CONFIG_UPDATE_MAPPING = {
    "viscum_openwisp.OpenWrt": "openwisp_controller.connection.connectors.openwrt.ssh.OpenWrt"
}
OPENWISP_CONTROLLER_USER_COMMANDS = COMMANDS
OPENWISP_SSH_AUTH_TIMEOUT = OPENWISP_SSH_CONNECTION_TIMEOUT = OPENWISP_SSH_COMMAND_TIMEOUT = 120  # bounds, not speeds
