"""The controller's addresses."""

from django.urls import include, path

urlpatterns = [path("", include("openwisp_controller.urls"))]
