import multiprocessing
import os

bind = f"0.0.0.0:{os.getenv('APP_PORT', '8000')}"
worker_class = "gthread"
workers = int(os.getenv("GUNICORN_WORKERS", multiprocessing.cpu_count()))
threads = os.getenv("GUNICORN_THREADS", "4")
worker_tmp_dir = "/dev/shm"
preload_app = True
timeout = int(os.getenv("GUNICORN_TIMEOUT", "60"))
graceful_timeout = 25
keepalive = 75
max_requests = 1000
max_requests_jitter = 100

accesslog = "-"
errorlog = "-"
loglevel = os.getenv("LOG_LEVEL", "INFO")
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(L)s'
capture_output = True
enable_stdio_inheritance = True

forwarded_allow_ips = "*"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
statsd_host = os.getenv("STATSD_HOST")
