"""The controller's addresses."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import JavaScriptCatalog

urlpatterns = [
    path("admin/", admin.site.urls),
    path("jsi18n/", JavaScriptCatalog.as_view()),
    path("api/v1/", include("openwisp_users.api.urls")),
    path("api/v1/", include("openwisp_utils.api.urls")),
    path("", include("openwisp_controller.urls")),
]
