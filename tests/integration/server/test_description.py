"""The OpenAPI document, as a client reads it."""

from tests.integration.server.site import Site


async def test_the_description_names_every_route(site: Site) -> None:
    """The OpenAPI document has each route with its body, and refusals as problems."""
    document = (await site.get("/api/openapi.json")).json()

    submit = document["paths"]["/api/v1/jobs"]["post"]
    assert submit["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "JobSpec"
    )
    assert submit["security"] == [{"key": ["jobs:write"]}]
    cancel = document["paths"]["/api/v1/jobs/{job_id}/cancel"]["post"]
    assert cancel["security"] == [{"key": ["jobs:cancel", "jobs:read"]}]
    assert document["paths"]["/api/worker/v1/claim"]["post"]["security"] == [{"worker": ["worker"]}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "default" in operation["responses"], (method, path)
            assert "422" not in operation["responses"], (method, path)
    known = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.rsplit("/", 1)[1] in known, reference


async def test_the_description_says_what_the_items_of_a_batch_are(site: Site) -> None:
    """They have the fields of a job, none of which is required: the defaults may have them."""
    known = (await site.get("/api/openapi.json")).json()["components"]["schemas"]

    item = {"$ref": "#/components/schemas/BatchItem"}
    for model in ("BatchRequest", "AppendRequest"):
        assert known[model]["properties"]["items"]["items"] == item
    assert known["BatchRequest"]["properties"]["defaults"]["$ref"] == item["$ref"]
    assert {"kind", "params", "timeout_s", "depends_on"} <= set(known["BatchItem"]["properties"])
    assert "required" not in known["BatchItem"]


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []
