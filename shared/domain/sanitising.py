r"""Foreign text made fit to be stored and shown: no secrets, no terminal codes, no control characters.

DNA, paths, digests and blob names stay as they are; only what opens a door is masked.

>>> sanitise("\x1b[31mGET https://a/b?sv=1&sig=c2VjcmV0 of ACGTACGT\x1b[0m")
'GET https://a/b?sv=1&sig=*** of ACGTACGT'
"""

import re

MAX_LINES = 20
MAX_CHARACTERS = 2_000
_LONGEST_LINE = 400  # one hostile line must not push all others out
_MASK = "***"
_TERMINAL_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_SECRETS = (
    (re.compile(r"(?i)\b(sig|access_token|client_secret)=[^&\s\"']+"), rf"\1={_MASK}"),
    (re.compile(r"(?i)\b(bearer|sharedkey)\s+[-A-Za-z0-9._~+/=:]{8,}"), rf"\1 {_MASK}"),
    (re.compile(r"\beyJ[-A-Za-z0-9_=]{16,}(?:\.[-A-Za-z0-9_=]*)*"), _MASK),
    (re.compile(r"(?i)\b(AccountKey|SharedAccessSignature|Password|secret|token)(\s*[=:]\s*)[^\s;,&\"']{8,}"),
     rf"\1\2{_MASK}"),
    (re.compile(r"(?i)(\"(?:\w*token|\w*secret|password|[-\w]*header)\"\s*:\s*\")[^\"]+"), rf"\1{_MASK}"),
)  # fmt: skip


def sanitise(text: str) -> str:
    """The same text without what must not be shown; line ends are kept."""
    shown = _CONTROLS.sub("", _TERMINAL_CODES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    for pattern, mask in _SECRETS:
        shown = pattern.sub(mask, shown)
    return shown


def last_lines(log: str) -> tuple[str, ...]:
    r"""The end of an agent's log for people: masked before it is cut, its reports for machines left out.

    >>> last_lines('{"report": {}}\nfetching\n\ndisk full\n')
    ('fetching', 'disk full')
    """
    spoken = [line.rstrip() for line in sanitise(log).split("\n") if not line.startswith('{"report":')]
    kept: list[str] = []
    left = MAX_CHARACTERS
    for line in reversed([line for line in spoken if line][-MAX_LINES:]):
        left -= min(len(line), _LONGEST_LINE)
        if left < 0:
            break
        kept.append(line[:_LONGEST_LINE])
    return tuple(reversed(kept))
