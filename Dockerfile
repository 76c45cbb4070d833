# psstop in a container: docker run --pid=host --cap-add=PERFMON --cap-add=SYS_PTRACE --volume=psstop:/var/lib/psstop
FROM python:3.11-slim-bookworm
COPY pyproject.toml README.md LICENSE /src/
COPY docs /src/docs
COPY psstopd /src/psstopd
RUN pip install --no-cache-dir /src && rm -r /src
COPY config/psstop.toml /etc/psstop/psstop.toml
VOLUME /var/lib/psstop
# SIGTERM is psstopd's own signal to stop, and it needs no init: it reaps its children.
ENTRYPOINT ["psstopd"]
CMD ["run"]
