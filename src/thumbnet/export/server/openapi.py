"""The server's description in the form of OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thumbnet.export.server.limits import Limits
from thumbnet.models.card import AnswerKind
from thumbnet.models.unknown import UNKNOWN
from thumbnet.models.unsure import UNSURE

IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "application/octet-stream")
OBJECT = {"type": "object"}
TEXT = {"type": "string"}


def describe(
    name: str,
    class_names: Sequence[str],
    limits: Limits,
    *,
    version: str,
    answer_kind: AnswerKind = "likeliest",
    says_unknown: bool = False,
    has_page: bool = True,
) -> dict[str, Any]:
    """The description of a server of a model that answers so, and that pictures may be unknown to, as `/openapi.json`
    gives it."""
    page = {"/": {"get": _get("page", "A page that classifies pictures in the browser", "text/html", TEXT)}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{name}, served by thumbnet",
            "version": version,
            "description": f"Says which of {len(class_names)} labels pictures have."
            if answer_kind == "labels"
            else f"Classifies pictures into {len(class_names)} classes.",
        },
        "paths": {
            **(page if has_page else {}),
            "/predict": {"post": _predict(class_names, limits)},
            "/health": {"get": _get("health", "Whether it runs", "application/json", _reference("Health"))},
            "/model": {"get": _get("model", "What the model is", "application/json", _reference("Model"))},
            "/openapi.json": {"get": _get("openapi", "This description", "application/json", OBJECT)},
        },
        "components": {"schemas": _schemas(class_names, answer_kind, says_unknown=says_unknown)},
    }


def _predict(class_names: Sequence[str], limits: Limits) -> dict[str, Any]:
    errors = {
        "400": "the form is malformed",
        "403": "a page of another site asks",
        "408": "the body arrives too slowly",
        "413": f"a picture has more than {limits.max_bytes:,} bytes or {limits.max_pixels:,} pixels, or the request "
        f"more than {limits.max_pictures} pictures or {limits.request_bytes:,} bytes",
        "415": "this is no picture of a type that is served",
        "421": "the Host header names another server",
        "422": "there is no picture, it is damaged, or `top` is out of its range",
        "503": "too many requests wait",
    }
    pictures = {"type": "object", "additionalProperties": {"type": "string", "contentMediaType": "image/*"}}
    content: dict[str, Any] = {kind: {} for kind in IMAGE_TYPES}
    content["multipart/form-data"] = {"schema": pictures}
    return {
        "operationId": "predict",
        "summary": "Classify one picture, or several in a form whose fields have any names",
        "parameters": [
            {
                "name": "top",
                "in": "query",
                "description": "how many classes to name, most probable first",
                "schema": {"type": "integer", "minimum": 1, "maximum": len(class_names)},
            }
        ],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _response("A prediction or an error for each picture", _reference("Predictions")),
            **{
                code: _response(meaning, {"anyOf": [_reference("Predictions"), _reference("Refusal")]})
                for code, meaning in errors.items()
            },
        },
    }


def _schemas(class_names: Sequence[str], answer_kind: AnswerKind, *, says_unknown: bool) -> dict[str, Any]:
    guess = {"class_name": {"enum": list(class_names)}, "probability": {"type": "number", "minimum": 0, "maximum": 1}}
    others = [UNSURE] * (answer_kind == "unsure") + [UNKNOWN] * says_unknown
    answer = {"answer": {"enum": list(dict.fromkeys([*class_names, *others]))}} if others else {}
    filename = {"filename": {"type": ["string", "null"]}}
    labels = {"labels": {"type": "array", "items": guess["class_name"]}} if answer_kind == "labels" else {}
    error = {"code": {"type": "integer"}, "message": TEXT, "hint": TEXT}
    count = {"type": "integer", "minimum": 1}
    image = _object({"channels": {"enum": [1, 3]}, "height": count, "width": count})
    return {
        "Guess": _object(guess),
        "Error": _object(error),
        "Refusal": _object({"error": _reference("Error")}),
        "Prediction": _object(
            {**filename, **labels, **guess, "top": {"type": "array", "items": _reference("Guess")}, **answer}
        ),
        "BadPicture": _object({**filename, "error": _reference("Error")}),
        "Predictions": _object(
            {
                "model": TEXT,
                "predictions": {
                    "type": "array",
                    "items": {"oneOf": [_reference("Prediction"), _reference("BadPicture")]},
                },
            }
        ),
        "Health": _object({"status": {"const": "ok"}, "model": TEXT, "engine": TEXT}),
        "Model": _object(
            {
                **dict.fromkeys(("name", "model", "recipe", "engine", "version"), TEXT),
                "num_params": {"type": "integer"},
                "class_names": {"type": "array", "items": TEXT},
                "image": image,
                "metrics": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
                **({"decision": _decision()} if answer_kind == "threshold" else {}),
                **({"unsure": _unsure()} if answer_kind == "unsure" else {}),
                **({"label_decision": _label_decision()} if answer_kind == "labels" else {}),
                **({"unknown": _unknown()} if says_unknown else {}),
            }
        ),
    }


def _decision() -> dict[str, Any]:
    count = {"type": "integer", "minimum": 0}
    return _object(
        {
            "positive": {"enum": [0, 1]},
            "threshold": {"type": "number", "minimum": 0, "maximum": 1},
            "margin": {"type": "number"},
            "rule": TEXT,
            "num_images": count,
            "num_positives": count,
            "measured": {"type": "object", "additionalProperties": {"type": "number"}},
        }
    )


def _unsure() -> dict[str, Any]:
    fraction, count = {"type": "number", "minimum": 0, "maximum": 1}, {"type": "integer", "minimum": 1}
    return _object(
        {"confidence": fraction, "most_error": fraction, "num_images": count, "num_unsure": count, "error": fraction}
    )


def _unknown() -> dict[str, Any]:
    number, count = {"type": "number", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 0}
    return _object({"limit": number, "share": {**number, "maximum": 1}, "num_images": count, "num_unknown": count})


def _label_decision() -> dict[str, Any]:
    count = {"type": "integer", "minimum": 0}
    return _object(
        {
            "margins": {"type": "array", "items": {"type": "number"}},
            "rule": TEXT,
            "num_images": count,
            "at_half": {"type": "array", "items": count},
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _response(description: str, schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _get(operation: str, summary: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": operation, "summary": summary, "responses": {"200": _response(summary, schema, kind)}}
