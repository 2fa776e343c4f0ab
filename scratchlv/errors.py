"""The one exception that is meant for the user's eyes."""


class UserError(Exception):
    """A mistake that the user can mend: one sentence that names the file or argument, the reason and the remedy.

    The command line prints it without a traceback and exits with status 2.
    """
