"""Own where we are in a webhook: the change being read, its account and number, and who its users are."""

from __future__ import annotations

import msgspec

from gatekeeper.core.recipients import canonical
from gatekeeper.meta.lenient import Json, Text, text


class Unreadable(Exception):  # noqa: N818  it names the item
    """An item misses what its event needs; the text names the member, never its content."""


class Who(msgspec.Struct, frozen=True, gc=False):
    """The names of one user, as far as the payload tells them: a contact is read as one."""

    wa_id: Text = None
    user_id: Text = None
    parent_user_id: Text = None

    @property
    def known(self) -> bool:
        """Whether there is a name to find the user by."""
        return self.wa_id is not None or self.user_id is not None or self.parent_user_id is not None


def who_in(contact: object) -> Who:
    """Read a contact."""
    if not isinstance(contact, dict):
        return Who()
    return Who(text(contact.get("wa_id")), text(contact.get("user_id")), text(contact.get("parent_user_id")))


class Change(msgspec.Struct, kw_only=True):
    """One change, and the place of the item in it that is being read."""

    field: str
    value: Json
    waba_id: str
    phone_number_id: str
    own_number: str | None = None
    contacts: list[Who]
    index: int = 0
    count: int = 1
    _own: str | None = None
    _by_name: dict[str, Who] | None = None
    _numbers_only: bool | None = None

    def who(self, *, wa_id: object, user_id: object, parent_user_id: object = None) -> Who:
        """Complete the names that an item gives of its user from the contacts beside it."""
        return self.completed(text(wa_id), text(user_id), text(parent_user_id))

    def completed(self, number: str | None, user: str | None, parent: str | None) -> Who:
        """
        Complete the names of an item's user.

        A contact belongs to the item that it shares a name with; else to the one in its place, unless names differ.
        A lone contact belongs to a lone item even where their numbers differ, since Meta writes some in two ways.
        """
        own = None
        if self.contacts and not (number and self._tells_no_id()):
            who = Who(number, user, parent)
            contact = self._contact(who) or Who()
            own, other = contact.user_id, contact.parent_user_id
            if own and user not in (None, own, other):
                return who
            number, parent = number or contact.wa_id, parent or other
        # What became of a message to a parent id names that id as the recipient's.
        return Who(number, own or (user if user != parent else None), parent)

    def is_ours(self, number: str | None) -> bool:
        """Whether a number is the business's own, in any spelling: what comes from it is an echo."""
        if not number or not self.own_number:
            return False
        if self._own is None:
            self._own = canonical(self.own_number)
        return canonical(number) == self._own

    def _tells_no_id(self) -> bool:
        """Whether no contact tells more than a number."""
        if self._numbers_only is None:
            self._numbers_only = not any(contact.user_id or contact.parent_user_id for contact in self.contacts)
        return self._numbers_only

    def _contact(self, who: Who) -> Who | None:
        if self._by_name is None:
            self._by_name = {name: contact for contact in self.contacts for name in _names(contact)}
        for name in (who.user_id, digits(who.wa_id)):
            if name and name in self._by_name:
                return self._by_name[name]
        if len(self.contacts) == 1 and not who.known:
            return self.contacts[0]
        if len(self.contacts) != self.count:
            return None
        contact = self.contacts[self.index]
        other_user = who.user_id and contact.user_id
        other_number = who.wa_id and contact.wa_id and self.count > 1
        return None if other_user or other_number else contact


def named(who: Who) -> Who:
    """Give *who* back if there is a name to find the user by."""
    if not who.known:
        raise Unreadable("no user")
    return who


def digits(number: str | None) -> str:
    """Strip a phone number to its digits, the form in which two spellings of it are equal."""
    if not number:
        return ""
    return number if number.isdecimal() else "".join(filter(str.isdecimal, number))


def _names(contact: Who) -> list[str]:
    return [name for name in (contact.user_id, contact.parent_user_id, digits(contact.wa_id)) if name]
