"""The OpenAPI document: what it says of every answer."""


def test_every_answer_in_json_has_an_example(replica):
    document = replica.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    shown = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                for media, content in answer.get("content", {}).items():
                    if "$ref" in content["schema"]:
                        name = content["schema"]["$ref"].rpartition("/")[2]
                        shown[f"{method} {path} {status} {media}"] = schemas[name].get("examples")
    assert len(shown) > 30
    assert [what for what, examples in shown.items() if not examples] == []


def test_an_example_has_what_its_schema_asks_for(replica):
    schemas = replica.get("/openapi.json").json()["components"]["schemas"]
    for name, schema in schemas.items():
        for example in schema.get("examples", []):
            missing = set(schema.get("required", [])) - set(example)  # FastAPI leaves out what is null
            assert all({"type": "null"} in schema["properties"][field].get("anyOf", []) for field in missing), name
            assert set(example) <= set(schema["properties"]), name
