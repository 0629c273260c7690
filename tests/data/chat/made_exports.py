"""Small files in the layouts in which chat programs export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(place: Path, value: Any) -> Path:
    """A file of text, or of JSON."""
    place.parent.mkdir(parents=True, exist_ok=True)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    place.write_text(text, encoding="utf-8")
    return place


def _node(identity: str, parent: str | None, role: str, text: Any, **message: Any) -> dict[str, Any]:
    content = text if isinstance(text, dict) else {"content_type": "text", "parts": [text]}
    said = {"id": identity, "author": {"role": role}, "create_time": 1.0, "content": content, "recipient": "all", "metadata": {}}
    return {"id": identity, "message": said | message, "parent": parent, "children": []}


def chatgpt() -> list[dict[str, Any]]:
    """A conversation with an abandoned branch, a call of a tool and a hidden system message; one with a picture at its end."""
    hidden = {"is_visually_hidden_from_conversation": True}
    nodes = [
        {"id": "root", "message": None, "parent": None, "children": ["s"]},
        _node("s", "root", "system", "", metadata=hidden),
        _node("q", "s", "user", "Name a bird"),
        _node("old", "q", "assistant", "A cod"),
        _node("call", "q", "assistant", {"content_type": "code", "text": "search('bird')"}, recipient="browser"),
        _node("found", "call", "tool", "wren"),
        _node("a", "found", "assistant", "A wren【4†source】"),
        _node("q2", "a", "user", "Another"),
        _node("a2", "q2", "assistant", "A rook"),
    ]
    picture = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "What is it?"]}
    seen = [
        {"id": "r", "message": None, "parent": None, "children": ["x"]},
        _node("x", "r", "user", "Name a fish"),
        _node("y", "x", "assistant", "A cod"),
        _node("z", "y", "user", picture),
        _node("w", "z", "assistant", "A cat"),
    ]
    return [
        {"title": "Birds", "create_time": 1.7e9, "mapping": {node["id"]: node for node in nodes}, "current_node": "a2",
         "conversation_id": "c1", "default_model_slug": "gpt-4o"},
        {"title": "Fish", "create_time": 1.7e9, "mapping": {node["id"]: node for node in seen}, "current_node": "w",
         "conversation_id": "c2"},
    ]  # fmt: skip


def claude() -> list[dict[str, Any]]:
    """A conversation whose first answer was asked for anew, with a thought."""

    def turn(identity: str, parent: str, sender: str, text: str, at: int, **more: Any) -> dict[str, Any]:
        stamp = f"2025-01-01T10:00:{at:02d}.000000Z"
        block = {"type": "text", "text": text, "citations": []}
        return {"uuid": identity, "parent_message_uuid": parent, "sender": sender, "text": text, "content": [block],
                "created_at": stamp, "updated_at": stamp, "attachments": [], "files": []} | more  # fmt: skip

    thought = [{"type": "thinking", "thinking": "Small ones."}, {"type": "text", "text": "A wren"}]
    turns = [
        turn("1", "00000000-0000-4000-8000-000000000000", "human", "Name a bird", 1),
        turn("2", "1", "assistant", "A cod", 2),
        turn("3", "1", "assistant", "A wren", 3, content=thought),
    ]
    account = {"uuid": "me"}
    return [{"uuid": "k1", "name": "Birds", "summary": "", "created_at": "2025-01-01T10:00:00Z", "updated_at": "",
             "account": account, "chat_messages": turns}]  # fmt: skip


def slack(root: Path) -> Path:
    """A workspace: two days of a channel, a thread over both, people who join, a bot, and a talk after a night."""
    users = [
        {"id": "U1", "name": "ida", "profile": {"display_name": "Ida", "real_name": "Ida Ek"}},
        {"id": "U2", "name": "bo", "profile": {"display_name": "", "real_name": "Bo Alm"}},
        {"id": "U3", "name": "cy", "profile": {"display_name": "Cy"}},
    ]
    write(root / "users.json", users)
    write(root / "channels.json", [{"id": "C1", "name": "help"}])
    first = [
        {"type": "message", "subtype": "channel_join", "user": "U2", "text": "<@U2> has joined", "ts": "1700000000.0"},
        {"type": "message", "user": "U2", "text": "<@U1> how do I log in?", "ts": "1700000010.0"},
        {"type": "message", "user": "U2", "text": "It says &lt;no&gt;", "ts": "1700000020.0"},
        {"type": "message", "user": "U3", "text": "same here", "ts": "1700000030.0"},
        {"type": "message", "user": "U1", "text": "Use <https://a.example|this page>", "ts": "1700000040.0"},
        {"type": "message", "user": "U3", "text": "Where is the printer?", "ts": "1700000050.0", "thread_ts": "1700000050.0"},
    ]
    second = [
        {"type": "message", "user": "U1", "text": "On floor 2", "ts": "1700080000.0", "thread_ts": "1700000050.0"},
        {"type": "message", "user": "U2", "text": "Is lunch at 12?", "ts": "1700080010.0"},
        {"type": "message", "user": "U1", "text": "Yes", "ts": "1700080020.0"},
    ]
    write(root / "help" / "2023-11-14.json", first)
    write(root / "help" / "2023-11-15.json", second)
    return root


def discord() -> dict[str, Any]:
    """A channel with an answer that mentions somebody, and a notice."""

    def said(number: int, kind: str, author: str, text: str, **more: Any) -> dict[str, Any]:
        names = {"7": "ida", "8": "bo"}
        return {"id": str(number), "type": kind, "timestamp": f"2024-01-01T12:0{number}:00.000+01:00", "timestampEdited": None,
                "isPinned": False, "content": text, "attachments": [], "embeds": [], "mentions": [], "reactions": [],
                "author": {"id": author, "name": names[author], "discriminator": "0000", "isBot": False}} | more  # fmt: skip

    return {
        "guild": {"id": "1", "name": "Birds"},
        "channel": {"id": "2", "type": "GuildTextChat", "name": "questions"},
        "dateRange": {"after": None, "before": None},
        "exportedAt": "2024-01-02T00:00:00+00:00",
        "messages": [
            said(1, "GuildMemberJoin", "8", "Joined the server."),
            said(2, "Default", "8", "Name a bird"),
            said(3, "Reply", "7", "@bo A wren", mentions=[{"id": "8", "name": "bo", "nickname": "Bo"}]),
            said(4, "Default", "7", "", attachments=[{"id": "1"}]),
        ],
        "messageCount": 4,
    }


DISCORD_CSV = (
    "AuthorID,Author,Date,Content,Attachments,Reactions\n"
    '"8","bo","2024-01-01T12:02:00.0000000+01:00","Name a bird","",""\n'
    '"7","ida","2024-01-01T12:03:00.0000000+01:00","A wren","",""\n'
)

TELEGRAM = {
    "name": "Bo", "type": "personal_chat", "id": 5,
    "messages": [
        {"id": 1, "type": "service", "date": "2024-01-01T12:00:00", "actor": "Bo", "action": "phone_call", "text": ""},
        {"id": 2, "type": "message", "date": "2024-01-01T12:01:00", "date_unixtime": "1704110460", "from": "Bo",
         "from_id": "user8", "text": [{"type": "mention", "text": "@ida"}, " Name a ", {"type": "bold", "text": "bird"}]},
        {"id": 3, "type": "message", "date": "2024-01-01T12:02:00", "date_unixtime": "1704110520", "from": "Ida",
         "from_id": "user7", "text": "A wren"},
        {"id": 4, "type": "message", "date": "2024-01-01T12:03:00", "date_unixtime": "1704110580", "from": "Ida",
         "from_id": "user7", "text": "", "photo": "(File not included)"},
    ],
}  # fmt: skip

ZENDESK = {
    "tickets": [
        {
            "id": 31, "subject": "Login", "description": "It says no.", "requester_id": 8, "assignee_id": 7, "status": "solved",
            "comments": [
                {"id": 1, "author_id": 8, "body": "It says no.", "public": True, "created_at": "2024-01-01T12:00:00Z"},
                {"id": 2, "author_id": 7, "body": "An old password?", "public": False, "created_at": "2024-01-01T12:01:00Z"},
                {"id": 3, "author_id": 7, "html_body": "<p>Try <b>this</b>:</p><ul><li>one</li></ul>", "public": True},
            ],
        }
    ]
}  # fmt: skip

INTERCOM = {
    "conversations": [
        {
            "type": "conversation", "id": "9", "created_at": 1704110460,
            "source": {"type": "conversation", "body": "<p>Name a bird</p>", "author": {"type": "user", "id": "u", "name": "Bo"}},
            "conversation_parts": {"type": "conversation_part.list", "conversation_parts": [
                {"part_type": "comment", "body": "<p>We will be back soon</p>", "author": {"type": "bot", "id": "b"}},
                {"part_type": "note", "body": "<p>he again</p>", "author": {"type": "admin", "id": "a", "name": "Ida"}},
                {"part_type": "comment", "body": "<p>A wren</p>", "author": {"type": "admin", "id": "a", "name": "Ida"}},
            ]},
        }
    ]
}  # fmt: skip

NNBSP = "\u202f"
WHATSAPP = {
    "Android, German": (
        "31.12.23, 22:14 - Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt.\n"
        "31.12.23, 22:15 - Bo: Name a bird\nPlease: a small one\n"
        "31.12.23, 22:16 - Ida: <Medien ausgeschlossen>\n31.12.23, 22:17 - Ida: A wren\n"
    ),
    "Android, American": (
        f"12/31/23, 10:15{NNBSP}PM - Messages are end-to-end encrypted. Tap to learn more.\n"
        f"12/31/23, 10:15{NNBSP}PM - Bo: Name a bird\nPlease: a small one\n"
        f"12/31/23, 10:16{NNBSP}PM - Ida: A wren <This message was edited>\n"
    ),
    "iOS": (
        "[31.12.23, 22:14:01] Bo: \u200eNachrichten sind verschlüsselt.\n"
        "[31.12.23, 22:15:01] Bo: Name a bird\nPlease: a small one\n"
        "\u200e[31.12.23, 22:16:01] Ida: \u200eBild weggelassen\n[31.12.23, 22:17:02] Ida: A wren\n"
    ),
    "iOS, American": (
        f"[12/31/23, 10:15:33{NNBSP}PM] Bo: Name a bird\nPlease: a small one\n[12/31/23, 10:16:33{NNBSP}PM] Ida: A wren\n"
    ),
    "French": "31/12/2023 à 22:15 - Bo : Name a bird\nPlease: a small one\n31/12/2023 à 22:16 - Ida : A wren\n",
    "Spanish": (
        "31/12/23, 10:15\u00a0p.\u00a0m. - Bo: Name a bird\nPlease: a small one\n31/12/23, 10:16\u00a0p.\u00a0m. - Ida: A wren\n"
    ),
    "Swedish": "2023-12-31 22:15 - Bo: Name a bird\nPlease: a small one\n2023-12-31 22:16 - Ida: A wren\n",
    "Chinese": "[2023/12/31 下午10:15:33] Bo: Name a bird\nPlease: a small one\n[2023/12/31 下午10:16:33] Ida: A wren\n",
    "Japanese": "2023/12/31 22:15 - Bo: Name a bird\nPlease: a small one\n2023/12/31 22:16 - Ida: A wren\n",
    "Vietnamese": "22:15, 31/12/2023 - Bo: Name a bird\nPlease: a small one\n22:16, 31/12/2023 - Ida: A wren\n",
    "Finnish": "31.12.2023 klo 22.15 - Bo: Name a bird\nPlease: a small one\n31.12.2023 klo 22.16 - Ida: A wren\n",
    "Arabic": (
        "٣١\u200f/١٢\u200f/٢٠٢٣، ١٠:١٥ م - Bo: Name a bird\nPlease: a small one\n٣١\u200f/١٢\u200f/٢٠٢٣، ١٠:١٦ م - Ida: A wren\n"
    ),
    "Bulgarian": "31.12.23 г., 22:15 ч. - Bo: Name a bird\nPlease: a small one\n31.12.23 г., 22:16 ч. - Ida: A wren\n",
    "Hungarian": "2023. 12. 31. 22:15 - Bo: Name a bird\nPlease: a small one\n2023. 12. 31. 22:16 - Ida: A wren\n",
    "Android, years ago": "Dec 31, 2023, 10:15 PM - Bo: Name a bird\nPlease: a small one\nDec 31, 2023, 10:16 PM - Ida: A wren\n",
    "French, in words": "31 déc. 2023 à 22:15 - Bo : Name a bird\nPlease: a small one\n31 déc. 2023 à 22:16 - Ida : A wren\n",
    "German, in words": "[31. Dez. 2023, 22:15:33] Bo: Name a bird\nPlease: a small one\n[31. Dez. 2023, 22:16:3] Ida: A wren\n",
    "Portuguese, in words": (
        "31 de dezembro de 2023 22:15 - Bo: Name a bird\nPlease: a small one\n31 de dezembro de 2023 22:16 - Ida: A wren\n"
    ),
    "Russian, in words": (
        "31 дек. 2023 г., 22:15 - Bo: Name a bird\nPlease: a small one\n31 дек. 2023 г., 22:16 - Ida: A wren\n"
    ),
    "Hindi, in words": "31 दिस॰ 2023, 10:15 pm - Bo: Name a bird\nPlease: a small one\n31 दिस॰ 2023, 10:16 pm - Ida: A wren\n",
    "Japanese, in words": "[2023年12月31日 22:15] Bo: Name a bird\nPlease: a small one\n[2023年12月31日 22:16] Ida: A wren\n",
    "Canadian French": "2023-12-31 22 h 15 - Bo: Name a bird\nPlease: a small one\n2023-12-31 22 h 16 - Ida: A wren\n",
    "Thai": "31/12/2566 22:15 - Bo: Name a bird\nPlease: a small one\n31/12/2566 22:16 - Ida: A wren\n",
    "Malay": "31/12/23, 10:15 PTG - Bo: Name a bird\nPlease: a small one\n31/12/23, 10:16 PTG - Ida: A wren\n",
    "Korean, short": "23. 12. 31. 오후 10:15, Bo : Name a bird\nPlease: a small one\n23. 12. 31. 오후 10:16, Ida : A wren\n",
    "Korean": "2023. 12. 31. 오후 10:15, Bo : Name a bird\nPlease: a small one\n2023. 12. 31. 오후 10:16, Ida : A wren\n",
}


def as_bytes(text: str) -> str:
    """A text as Meta's exports write it: a letter of Latin-1 for each byte of UTF-8."""
    return text.encode().decode("latin-1")


def messenger() -> dict[str, Any]:
    """A chat of Facebook or Instagram, newest message first, with a picture, a notice, a call and one that was taken back."""

    def said(at: int, name: str, text: str | None, **more: Any) -> dict[str, Any]:
        content = {} if text is None else {"content": as_bytes(text)}
        stamp = {"sender_name": as_bytes(name), "timestamp_ms": 1704110460000 + 1000 * at, "is_geoblocked_for_viewer": False}
        return stamp | content | more

    messages = [
        said(1, "Bö", "Nenne einen Vogel 🐦"),
        said(2, "Idå", "Ein Zaunkönig", reactions=[{"reaction": as_bytes("❤"), "actor": as_bytes("Bö")}]),
        said(3, "Idå", None, photos=[{"uri": "a.jpg", "creation_timestamp": 1}]),
        said(4, "Bö", "Liked a message"),
        said(5, "Bö", "Bö started a video chat.", call_duration=0),
        said(6, "Bö", "ups", is_unsent=True),
    ]
    return {
        "participants": [{"name": as_bytes("Bö")}, {"name": as_bytes("Idå")}],
        "messages": messages[::-1],
        "title": as_bytes("Bö"),
        "is_still_participant": True,
        "thread_path": "inbox/bo_1",
        "magic_words": [],
    }


ENCRYPTED = {
    "participants": ["Bö", "Idå"],
    "threadName": "Bö_4",
    "messages": [
        {"isUnsent": False, "media": [], "reactions": [], "senderName": name, "text": text, "timestamp": at, "type": "text"}
        for at, name, text in ((1704110520000, "Idå", "Ein Zaunkönig"), (1704110460000, "Bö", "Nenne einen Vogel 🐦"))
    ],
}  # fmt: skip


def gemini(*asked: str, answers: bool = True) -> list[dict[str, Any]]:
    """Entries of "My Activity", an hour apart, newest first, with one of another product and one that is no prompt."""
    entries = [
        {"header": "Gemini Apps", "title": title, "time": f"2025-01-01T1{hour}:00:00.123Z", "products": ["Gemini Apps"],
         "activityControls": ["Gemini Apps Activity"],
         **({"safeHtmlItem": [{"html": f"<p>Answer <b>{hour}</b>:</p><pre><code>a =  1\n</code></pre>"}]} if answers else {})}
        for hour, title in enumerate(asked)
    ]  # fmt: skip
    search = {"header": "Search", "title": "Searched for wren", "time": "2025-01-01T09:00:00Z", "products": ["Search"]}
    feedback = {"header": "Gemini Apps", "title": "Gave feedback", "time": "2025-01-01T19:00:00Z", "products": ["Gemini Apps"]}
    return [feedback, *entries[::-1], search]
