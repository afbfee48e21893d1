"""What to do about an error status, in one or two sentences."""

_INVALID = "Correct the field that the server names; sending the same request again cannot help."
_BY_STATUS = {
    400: _INVALID,
    401: (
        "Check the API key: PLANASONIX_API_KEY, or the one in the orchestrator's connection, resource or block."
        " It may have been revoked or rotated, or belong to another host: see"
        " the base URL (PLANASONIX_BASE_URL, or base_url)."
    ),
    403: (
        "The key is known, but not allowed to do this. Check its scopes, that the plan includes the"
        " orchestration API (an Enterprise feature), and that this machine's address is on the"
        " organization's IP allow-list."
    ),
    404: (
        "Check the id and the base URL (PLANASONIX_BASE_URL, or base_url). An object of another organization also"
        " answers 404, so check that the key belongs to the right one."
    ),
    405: "Check the base URL and path prefixes: this host knows the path, but not for this method.",
    409: "The object's present state does not allow this. Read it again before you decide what to do.",
    413: "The request is larger than the server accepts: send less metadata or fewer tables.",
    422: _INVALID,
    429: (
        "The limit counts for this key and for the whole organization. Wait as long as the server asks;"
        " poll less often, or use webhooks instead."
    ),
}
_NO_ID_404 = (
    "No id was involved, so the server does not know this path: check the path of the base URL"
    " (PLANASONIX_BASE_URL, or base_url), and"
    " path_prefixes (or routes) for this tenant. A key of another plan or organization may also be the reason."
)
_WITHOUT_ID = frozenset({"openapi", "webhooks.create"})
_REDIRECT = "Redirects are not followed, so that the key goes to no other host. Correct the base URL."
_SERVER = (
    "The server failed, perhaps after the request took effect. Sending it again with the same"
    " idempotency key is safe where the server honours keys. https://status.planasonix.com may say more."
)


def hint_for(status: int, *, operation: str | None, existing_job_id: str | None) -> str | None:
    """Returns what to do about an HTTP error status, or None if there is nothing to say."""
    if status == 409 and existing_job_id:
        return f"{existing_job_id} is in the way: wait for it, attach to it, or cancel it."
    if status == 409 and operation == "jobs.results":
        return "The job has not ended yet: wait for it, then read its results."
    if status == 404 and operation is not None and (operation.endswith(".list") or operation in _WITHOUT_ID):
        return _NO_ID_404
    if 300 <= status < 400:
        return _REDIRECT
    if status >= 500:
        return _SERVER
    return _BY_STATUS.get(status)
