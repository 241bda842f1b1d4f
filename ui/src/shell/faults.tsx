import { Button } from "@mantine/core";
import { IconAlertTriangle, IconMapQuestion } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { Empty } from "@/parts/Empty";

export function NotFound() {
  const { t } = useTranslation("shell");
  return (
    <Empty
      order={1}
      icon={IconMapQuestion}
      title={t("notFound.title")}
      action={<Button renderRoot={(props) => <Link to="/" {...props} />}>{t("notFound.go")}</Button>}
    >
      {t("notFound.text")}
    </Empty>
  );
}

/** A page threw. What runs in the core goes on, and a reload shows it again. */
export function Broken() {
  const { t } = useTranslation("shell");
  return (
    <div role="alert">
      <Empty
        order={1}
        icon={IconAlertTriangle}
        title={t("broken.title")}
        action={<Button onClick={() => location.reload()}>{t("broken.reload")}</Button>}
      >
        {t("broken.text")}
      </Empty>
    </div>
  );
}
