import os

bind = os.environ.get("BIND", "unix:/run/gunicorn.sock")
workers = 3
worker_class = "gthread"
threads = 8
proc_name = "shop"

logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "LOGGED %(name)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain"},
        "error_console": {"class": "logging.StreamHandler", "formatter": "plain"},
    },
    "root": {"level": "INFO", "handlers": ["console"]},
}


def on_starting(server):
    server.log.info("removing files of dead workers")


def child_exit(server, worker):
    server.log.info("worker %s is dead", worker.pid)


def post_worker_init(worker):
    worker.log.info("worker %s has its application", worker.pid)


def post_request(worker, req, environ, resp):
    worker.log.info("%s %s: %s", req.method, req.path, resp.status)
