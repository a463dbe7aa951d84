# SPDX-License-Identifier: Apache-2.0
"""A reverse proxy in front of a stack's httpd that shares a few connections among all clients: other people's programs."""

import os

from amtu_stack import ports
from amtu_stack.httpd import MODULES
from amtu_stack.process import await_answer, run, start
from second_httpd import SecondHttpd

NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream service {{ server 127.0.0.1:{https}; keepalive 2; keepalive_requests 100000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass https://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {traces}
        }}
    }}
}}
"""
HAPROXY = """\
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    http-reuse always
    {traces}
frontend clients
    bind 127.0.0.1:{port}
    default_backend service
backend service
    server httpd 127.0.0.1:{https} ssl verify none pool-max-conn 2
"""
HTTPD = """\
Listen 127.0.0.1:{port}
StartServers 1
ServerLimit 1
KeepAlive On
MaxKeepAliveRequests 0
SSLProxyEngine On
SSLProxyVerify none
SSLProxyCheckPeerName Off
ProxyAddHeaders {traces}
ProxyPass / https://127.0.0.1:{https}/ max=2 ttl=60
"""
# What each adds to a request beside what it carries: nothing, as two of them do by default, or what shows that it is one
TRACES = {"nginx": ("", "proxy_set_header X-Forwarded-For $remote_addr;"), "haproxy": ("", "option forwardfor"),
          "httpd": ("Off", "On")}
PROGRAMS = {"nginx": "/usr/sbin/nginx", "haproxy": "/usr/sbin/haproxy", "httpd": f"{MODULES}/mod_proxy_http.so"}


def is_installed(name):
    return os.path.exists(PROGRAMS[name])


class Front:
    """`with Front(stack, name, traces) as front`: listens on front.port, in the clear."""

    def __init__(self, stack, name, traces):
        self.stack, self.name = stack, name
        self.traces = TRACES[name][1 if traces else 0]
        (self.port,) = ports.pick(1)

    def __enter__(self):
        if self.name == "httpd":
            text = HTTPD.format(port=self.port, https=self.stack.httpd.https, traces=self.traces)
            modules = ("mpm_event", "authn_core", "authz_core", "socache_shmcb", "ssl", "proxy", "proxy_http")
            self.httpd = SecondHttpd(self.stack, f"front-{self.port}", modules, text, self.port)
            self.httpd.__enter__().wait(self.port)
            return self
        folder = self.stack.places.folder(f"front-{self.port}")
        template = {"nginx": NGINX, "haproxy": HAPROXY}[self.name]
        config = self.stack.places.write(folder / "front.conf", template.format(
            folder=folder, port=self.port, https=self.stack.httpd.https, traces=self.traces))
        words = {"nginx": ["-p", folder, "-e", folder / "nginx.log", "-c", config], "haproxy": ["-db", "-f", config]}[self.name]
        program = PROGRAMS[self.name]
        run(f"checking {self.name}", [program, *words, "-t"] if self.name == "nginx" else [program, "-c", "-f", config])
        log = self.stack.places.log(f"front-{self.port}")
        self.process = start(self.name, [program, *words], log)
        await_answer(self.process, lambda: ports.connects(self.port), 15, log)
        return self

    def __exit__(self, *exception):
        if self.name == "httpd":
            self.httpd.__exit__(*exception)
        else:
            self.process.stop()
