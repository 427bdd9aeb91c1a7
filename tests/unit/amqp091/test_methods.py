"""Methods as bytes and back."""
import pytest
from pamqp import commands

from amqp091 import constants, methods
from amqp091.errors import CommandInvalid, NotImplemented_, SyntaxError_
from amqp091.method_table import METHOD_CLASSES


def test_every_method_id_has_a_class() -> None:
    named = {
        value
        for name, value in vars(constants).items()
        if isinstance(value, tuple) and name.isupper() and name != "NO_METHOD"
    }
    assert named == set(METHOD_CLASSES)


def test_ids_and_fields_agree_with_another_implementation() -> None:
    ours = {class_id << 16 | method_id for class_id, method_id in METHOD_CLASSES}
    assert set(commands.INDEX_MAPPING) <= ours
    for index, theirs in commands.INDEX_MAPPING.items():
        method_class = METHOD_CLASSES[index >> 16, index & 0xFFFF]
        assert method_class.__name__.lower() == theirs.name.replace(".", "").lower()  # type: ignore[attr-defined]
        assert len(method_class._fields) == len(theirs.attributes())  # type: ignore[attr-defined]


def test_a_frame_is_exact() -> None:
    frame = methods.encode(1, methods.QueueDeclare(queue="q", durable=True, auto_delete=True, arguments={"a": True}))
    assert frame == (
        b"\x01\x00\x01\x00\x00\x00\x11\x00\x32\x00\x0a"     # method frame, channel 1, queue.declare
        b"\x00\x00\x01q\x0a\x00\x00\x00\x04\x01at\x01\xce"  # ticket, queue, bits, arguments, end
    )


def test_bits_share_octets() -> None:
    request = methods.AccessRequest(realm="", exclusive=True, read=True)
    assert methods.encode_arguments(request) == b"\x00\x11"
    assert methods.decode(30, 10, b"\x00\x11") == request


@pytest.mark.parametrize("method_id", sorted(METHOD_CLASSES))
def test_defaults_survive_the_wire(method_id: constants.MethodId) -> None:
    method = METHOD_CLASSES[method_id]()
    assert methods.method_id(method) == method_id
    decoded = methods.decode(*method_id, methods.encode_arguments(method))
    assert decoded == method and type(decoded) is type(method)


@pytest.mark.parametrize("method_id", sorted(METHOD_CLASSES))
def test_every_cut_and_every_addition_is_a_syntax_error(method_id: constants.MethodId) -> None:
    arguments = methods.encode_arguments(METHOD_CLASSES[method_id]())
    for wrong in [arguments[:n] for n in range(len(arguments))] + [arguments + b"\x00"]:
        with pytest.raises(SyntaxError_) as caught:
            methods.decode(*method_id, wrong)
        assert (caught.value.class_id, caught.value.method_id) == method_id
        assert methods.method_name(method_id) in caught.value.reply_text()


def test_lying_lengths_are_syntax_errors() -> None:
    for arguments in (b"\x00\x00\xffq\x00\x00\x00\x00\x00", b"\x00\x00\x01q\x00\xff\xff\xff\xff"):
        with pytest.raises(SyntaxError_):
            methods.decode(50, 10, arguments)
    with pytest.raises(SyntaxError_):
        methods.decode(10, 21, b"\xff\xff\xff\xff")


def test_a_name_that_is_not_utf8_survives() -> None:
    wire = b"\x00\x00\x02\xff\xfe\x00\x00\x00\x00\x00"
    assert methods.encode_arguments(methods.decode(50, 10, wire)) == wire


def test_unknown_methods_are_command_invalid() -> None:
    for class_id, method_id in ((50, 99), (0, 0), (61, 10), (65535, 65535)):
        with pytest.raises(CommandInvalid) as caught:
            methods.decode(class_id, method_id, b"")
        assert (caught.value.class_id, caught.value.method_id) == (class_id, method_id)


def test_classes_of_other_brokers_are_not_implemented() -> None:
    with pytest.raises(NotImplemented_):
        methods.decode(70, 10, b"")


@pytest.mark.parametrize(
    "method",
    [
        methods.QueueDeclareOk("q" * 256),
        methods.QueueDeclareOk("q", 2**32),
        methods.QueueDeclareOk("q", -1),
        methods.BasicAck(2**64),
        methods.ConnectionTune(65536),
        methods.ConnectionStart(256),
    ],
)
def test_values_that_do_not_fit_are_refused(method: methods.Method) -> None:
    with pytest.raises(ValueError, match=r"fit|255"):
        methods.encode(0, method)


def test_largest_values_fit() -> None:
    for method in (methods.BasicAck(2**64 - 1, True), methods.QueueDeclareOk("q" * 255, 2**32 - 1, 2**32 - 1)):
        assert methods.decode(*methods.method_id(method), methods.encode_arguments(method)) == method


def test_names_are_written_as_in_rabbitmqs_texts() -> None:
    assert methods.method_name(constants.CONNECTION_START_OK) == "connection.start_ok"
    assert methods.method_name(constants.BASIC_RECOVER_ASYNC) == "basic.recover_async"
    assert methods.method_name(constants.QUEUE_DECLARE) == "queue.declare"
    assert methods.method_name((1, 2)) == "1.2"
